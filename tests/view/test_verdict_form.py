import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from pipeline.verdicts import Opinion, read_verdicts
from tests.verdicts.runs import done_trace, reworded, sha256
from tests.view.served import Served


def given(server: Served, block: int = 0, **others) -> dict:
    """What the form sends of a block of the done trace."""
    row = done_trace(server.run)
    text = row["mementos"][block]["text"]
    facts = {"trace_id": row["trace_id"], "block": block, "memento_sha256": sha256(text)}
    return {**facts, "verdict": "good", "why": "", **others}


def test_a_verdict_goes_to_parquet_and_back(server):
    before = datetime.now(UTC).replace(microsecond=0)
    sent = given(server, block=1, verdict="bad", why="  loses the <13> & “more” ")
    reply = server.post(sent)
    assert reply.status == 200
    assert server.ask("GET", f"/verdicts/{sent['trace_id']}").json == reply.json
    (told,) = reply.json
    assert told == {
        "block": 1,
        "memento_sha256": sent["memento_sha256"],
        "verdict": "bad",
        "why": "loses the <13> & “more”",
        "at": told["at"],
    }
    (row,) = pq.read_table(server.run.verdicts).to_pylist()
    assert {name: row[name] for name in ("trace_id", "block", "verdict", "why", "score", "passed")} == {
        "trace_id": sent["trace_id"],
        "block": 1,
        "verdict": "bad",
        "why": "loses the <13> & “more”",
        "score": 5,
        "passed": False,
    }
    assert before <= row["at"] == datetime.fromisoformat(told["at"]) <= datetime.now(UTC)


def test_judge_and_checks_are_kept_as_they_are_in_the_run(server):
    server.post(given(server, block=0))
    (kept,) = read_verdicts(server.run)
    assert (kept.score, kept.passed) == (8, True)


def test_a_verdict_can_be_changed_and_taken_back(server):
    server.post(given(server, block=0))
    server.post(given(server, block=2))
    assert [one["verdict"] for one in server.post(given(server, verdict="bad")).json] == ["bad", "good"]
    left = server.post(given(server, block=0, verdict=None)).json
    assert [one["block"] for one in left] == [2]
    assert [one.block for one in read_verdicts(server.run)] == [2]
    assert server.post(given(server, block=0, verdict=None)).json == left


def test_a_trace_tells_its_own_verdicts_only(server):
    server.post(given(server))
    assert server.ask("GET", "/verdicts/another").json == []
    assert server.ask("GET", "/verdicts/").json == []
    assert server.ask("GET", "/verdicts/x").headers["Cache-Control"] == "no-store"


def test_a_text_that_the_run_no_longer_has_is_a_conflict(server):
    stale = given(server, block=1)
    reworded(server.run, 1, "Now it says 13.")
    reply = server.post(stale)
    assert reply.status == 409
    assert "another memento for block 1" in reply.text
    assert "load the page again" in reply.text
    assert read_verdicts(server.run) == []
    assert server.post(given(server, block=1)).status == 200


def test_a_verdict_on_an_older_text_is_still_told(server):
    server.post(given(server, block=1))
    reworded(server.run, 1, "Now it says 13.")
    told = server.post(given(server, block=1, verdict="bad")).json
    assert sorted(one["verdict"] for one in told) == ["bad", "good"]


def test_a_trace_or_block_that_is_not_there_is_not_found(server):
    unknown = server.post(given(server, trace_id="no-such-trace"))
    assert (unknown.status, "no trace 'no-such-trace'" in unknown.text) == (404, True)
    block = server.post({**given(server), "block": 3})
    assert (block.status, "its blocks are 0 to 2" in block.text) == (404, True)
    # A failed trace has blocks and no mementos.
    failed = next(row for row in server.run.read("partition", 0).to_pylist() if row["domain"] == "code")
    assert server.post(given(server, trace_id=failed["trace_id"])).status == 404
    assert read_verdicts(server.run) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trace_id": 3}, "trace_id"),
        ({"trace_id": ""}, "trace_id"),
        ({"block": "0"}, "block"),
        ({"block": True}, "block"),
        ({"block": 0.0}, "block"),
        ({"block": -1}, "block"),
        ({"block": 2**31}, "block"),
        ({"memento_sha256": "abc"}, "memento_sha256"),
        ({"memento_sha256": "A" * 64}, "memento_sha256"),
        ({"memento_sha256": "a" * 64 + "\n"}, "memento_sha256"),
        ({"verdict": "fine"}, "verdict"),
        ({"verdict": True}, "verdict"),
        ({"why": None}, "why"),
        ({"why": "x" * 501}, "why"),
        ({"more": 1}, "more"),
    ],
)
def test_a_malformed_verdict_is_refused_by_the_name_of_its_fault(server, change, told):
    reply = server.post({**given(server), **change})
    assert reply.status == 400
    assert reply.text.startswith(f"{told}: ")
    assert read_verdicts(server.run) == []


@pytest.mark.parametrize("missing", ["trace_id", "block", "memento_sha256", "verdict", "why"])
def test_a_verdict_with_a_part_missing_is_refused(server, missing):
    sent = given(server)
    del sent[missing]
    reply = server.post(sent)
    assert (reply.status, reply.text) == (400, f"{missing}: Field required\n")


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[" * 9000, b"[]", b"null", b'"text"', b'{"trace_id": "\\ud800"}', b"{}" * 2]
)
def test_what_is_no_verdict_at_all_is_refused(server, body):
    reply = server.post(body)
    assert reply.status == 400
    assert len(reply.text) > 10


def test_a_body_of_ten_kilobytes_is_read_and_one_of_more_is_not(server):
    sent = given(server)
    assert server.post({**sent, "why": "x" * 9_000}).status == 400
    reply = server.post({**sent, "why": "x" * 10_000})
    assert (reply.status, reply.text) == (413, "more than 10,000 bytes\n")
    # Its size not told, or told wrong, it is no less large.
    pieces = b"".join(b"%x\r\n%s\r\n" % (5000, b"x" * 5000) for _ in range(4)) + b"0\r\n\r\n"
    chunked = server.post(pieces, Transfer_Encoding="chunked", Content_Length="")
    assert chunked.status == 413


def test_of_a_body_without_end_only_a_part_is_read(server):
    head = f"POST /verdicts HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(f"{head}Content-Length: {10**12}\r\n\r\n".encode())
        # What lies in buffers on the way is some megabytes at most.
        with pytest.raises(ConnectionError):
            connection.sendall(bytes(100_000_000))


def test_verdicts_posted_at_once_are_all_kept(server):
    sent = [given(server, block=n % 3, why=str(n)) for n in range(12)]
    with ThreadPoolExecutor(6) as threads:
        assert {reply.status for reply in threads.map(server.post, sent)} == {200}
    assert [one.block for one in read_verdicts(server.run)] == [0, 1, 2]
    assert {one.verdict for one in read_verdicts(server.run)} == {Opinion.GOOD}


def test_a_damaged_file_of_verdicts_is_told_and_left_as_it_is(server):
    server.run.verdicts.write_bytes(b"PAR1")
    for reply in (server.post(given(server)), server.ask("GET", "/verdicts/x")):
        assert reply.status == 500
        assert f"{server.run.verdicts}: damaged" in reply.text
    assert server.run.verdicts.read_bytes() == b"PAR1"


def test_a_run_without_its_config_says_what_is_missing(server):
    server.run.config_file.unlink()
    reply = server.post(given(server))
    assert reply.status == 500
    assert "config.json: no such file" in reply.text
