"""What was paid for is never paid for twice."""

import errno
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import LlmConfig
from pipeline.files.sealed_lines import SealedLines
from pipeline.llm.cache import CacheError, ReplyCache, Stored, request_key
from pipeline.llm.model import Choice, Message, ReplyError, Request, Usage
from tests.llm.questions import DIGIT, GRADES, TEXT, ask, ask_and_count, question
from tests.servers.stub_llm import StubLlm

STORED = Stored("x = 3", "stub", 1, Usage(requests=1, prompt_tokens=10, completion_tokens=4), None)


@pytest.mark.parametrize("constraint", [DIGIT, GRADES, TEXT])
def test_a_reply_from_disk_says_the_same_and_costs_nothing(tmp_path: Path, constraint: object) -> None:
    with StubLlm() as stub:
        with ReplyCache(tmp_path / "replies.jsonl") as cache:
            (paid,) = ask(stub.endpoint, question(constraint), cache=cache)
        with ReplyCache(tmp_path / "replies.jsonl") as cache:
            (free,), total = ask_and_count(stub.endpoint, question(constraint), cache=cache)
    assert stub.totals.requests == 1
    known = Usage(
        replies_from_disk=1,
        paid_before_prompt_tokens=paid.usage.prompt_tokens,
        paid_before_cached_tokens=paid.usage.cached_tokens,
        paid_before_completion_tokens=paid.usage.completion_tokens,
    )
    assert paid.usage.prompt_tokens > 0
    assert free == replace(paid, usage=known)
    assert total == known


def test_what_was_paid_before_is_counted_once_however_often_the_reply_is_used(tmp_path: Path) -> None:
    with StubLlm() as stub:
        with ReplyCache(tmp_path / "r.jsonl") as cache:
            (paid,) = ask(stub.endpoint, question(), cache=cache)
            _, again = ask_and_count(stub.endpoint, question(), cache=cache)
        with ReplyCache(tmp_path / "r.jsonl") as cache:
            _, total = ask_and_count(stub.endpoint, question(), question(), cache=cache)
    assert again == Usage(replies_from_disk=1), "paid by the same run"
    assert total == Usage(replies_from_disk=2) + paid.usage.as_paid_before()


def test_a_run_goes_on_after_the_unusable_replies_of_the_run_before(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with StubLlm(faults=["empty"] * 3) as stub:
        with ReplyCache(path) as cache, pytest.raises(ReplyError) as failure:
            ask(stub.endpoint, question(seed=7), cache=cache, max_attempts=2)
        bad = replace(stub.totals)
        with ReplyCache(path) as cache:
            assert len(cache) == 0
            (reply,), second = ask_and_count(stub.endpoint, question(seed=7), cache=cache, max_attempts=2)
        with ReplyCache(path) as cache:
            _, third = ask_and_count(stub.endpoint, question(seed=7), cache=cache)
    assert len(failure.value.replies) == 2
    assert [seen.body["seed"] for seen in stub.requests] == [7, 8, 9, 10]
    assert reply.attempts == 4
    assert second.invalid_replies == 1
    assert second.paid_before_prompt_tokens == bad.prompt_tokens > 0
    assert second.prompt_tokens == stub.totals.prompt_tokens - bad.prompt_tokens
    assert third == Usage(
        replies_from_disk=1,
        paid_before_prompt_tokens=stub.totals.prompt_tokens,
        paid_before_cached_tokens=stub.totals.cached_tokens,
        paid_before_completion_tokens=stub.totals.completion_tokens,
    )


def test_an_unusable_reply_is_in_the_file_with_its_attempt(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with ReplyCache(path) as cache, StubLlm(faults=["refusal", None]) as stub:
        ask(stub.endpoint, question(), cache=cache)
    first, second = map(json.loads, path.read_text().splitlines())
    assert first["key"] == second["key"]
    assert first["unusable"].startswith("I'm sorry")
    assert (first["attempt"], second["attempts"]) == (1, 2)


def test_a_file_from_before_unusable_replies_were_kept_is_read(tmp_path: Path) -> None:
    old = {"key": "k", "text": "x", "model": "m", "attempts": 2, "usage": {"prompt_tokens": 5}}
    (tmp_path / "r.jsonl").write_text(json.dumps(old | {"probabilities": None}) + "\n")
    with ReplyCache(tmp_path / "r.jsonl") as cache:
        assert cache.get("k") == Stored("x", "m", 2, Usage(prompt_tokens=5), None)
        assert cache.take_paid_before("k") == Usage(paid_before_prompt_tokens=5)


def test_a_stored_reply_that_fails_a_newer_rule_is_asked_for_again(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "r.jsonl") as cache, StubLlm() as stub:
        key = request_key(question(), "stub", CHOSEN_BY)
        cache.put(key, replace(STORED, text="I'm sorry, but I can't assist with that."))
        (reply,) = ask(stub.endpoint, question(), cache=cache)
        (seen,) = stub.requests
        assert seen.body["seed"] == question().seed + 1, "the same seed would give the same reply"
        assert cache.get(key) == replace(STORED, text=reply.text, usage=reply.usage, attempts=2)


CHOSEN_BY = LlmConfig().model_dump(mode="json", include={"sampling", "extra_body"})
DIFFERENCES = {
    "messages": replace(question(), messages=(Message("user", "Something else"),)),
    "role": replace(question(), messages=(Message("user", "You write notes."), *question().messages[1:])),
    "constraint": replace(question(), constraint=Choice(("yes", "no"))),
    "forbidden": replace(question(), constraint=replace(TEXT, forbidden=())),
    "max_tokens": replace(question(), max_tokens=65),
    "temperature": replace(question(), temperature=0.1),
    "seed": replace(question(), seed=8),
}


@pytest.mark.parametrize("other", DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_whatever_the_reply_depends_on_is_part_of_its_key(other: Request) -> None:
    assert request_key(other, "stub", {}) != request_key(question(), "stub", {})


def test_model_sampling_and_extra_body_are_part_of_the_key() -> None:
    keys = {
        request_key(question(), "stub", {}),
        request_key(question(), "other", {}),
        request_key(question(), "stub", CHOSEN_BY),
        request_key(question(), "stub", {**CHOSEN_BY, "sampling": {"top_p": 0.9}}),
        request_key(question(), "stub", {**CHOSEN_BY, "extra_body": {"logit_bias": {}}}),
    }
    assert len(keys) == 5


def test_purpose_and_label_are_no_part_of_the_key() -> None:
    renamed = replace(question(), purpose="judge", label="trace 2")
    assert request_key(renamed, "stub", {}) == request_key(question(), "stub", {})


def test_the_key_of_a_request_is_the_same_in_every_process() -> None:
    known = "dbdea7ef"
    assert request_key(question(DIGIT), "stub", {"extra_body": {"b": 1, "a": 2}})[:8] == known


def test_a_line_cut_off_by_a_kill_is_cut_away_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with ReplyCache(path) as cache:
        cache.put("one", STORED)
        whole = path.read_bytes()
        cache.put("two", STORED)
    everything = path.read_bytes()
    for cut in range(len(whole), len(everything)):
        path.write_bytes(everything[:cut])
        with ReplyCache(path) as cache:
            assert len(cache) == 1
            assert cache.get("one") == STORED
            assert cache.unreadable == 0
            cache.put("three", STORED)
        with ReplyCache(path) as cache:
            assert cache.get("three") == STORED


DAMAGES = [
    b"\0\0\0\0",
    b"{}",
    b"[1]",
    b'{"key": "k", "text": 1}',
    b'{"key": "k", "unusable": "", "attempt": null, "usage": {}}',
    b'{"key": "k", "unusable": "", "attempt": 1, "usage": {"prompt_tokens": "3"}}',
    b"\xff",
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_line_is_told_and_the_others_are_read(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "r.jsonl"
    with ReplyCache(path) as cache:
        cache.put("one", STORED)
        cache.put("two", STORED)
    first, second = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, damage, second, b""]))
    with ReplyCache(path) as cache:
        assert cache.unreadable == 1
        (told,) = caplog.messages
        assert told.startswith(f"{path}: 1 damaged lines, their replies are asked for again")
        assert cache.attempts("k") == 0
        assert cache.get("one") == cache.get("two") == STORED


def test_any_flipped_bit_of_a_line_costs_its_reply_and_is_never_taken_for_it(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "r.jsonl") as cache:
        cache.put("one", STORED)
        cache.put_unusable("two", "banana", 1, Usage(requests=1))
    lines = (tmp_path / "r.jsonl").read_bytes()
    for bit in range(0, 8 * (len(lines) - 1), 7):  # each byte, and each of its bits in turn
        path = tmp_path / f"{bit}.jsonl"
        damaged = bytearray(lines)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with ReplyCache(path) as cache:
            assert cache.unreadable >= 1
            assert cache.get("one") in (STORED, None)
            assert (cache.get("one") is None) + (cache.attempts("two") == 0) in (1, 2)


def test_a_damaged_file_is_set_aside_and_the_next_run_finds_a_whole_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "r.jsonl"
    with ReplyCache(path) as cache:
        cache.put("one", STORED)
        cache.put("two", STORED)
    damaged = path.read_bytes().replace(b"x = 3", b"x = 7", 1)
    path.write_bytes(damaged)
    with ReplyCache(path) as cache:
        assert (cache.get("one"), cache.get("two")) == (None, STORED)
    assert (tmp_path / "r.jsonl.damaged").read_bytes() == damaged
    caplog.clear()
    with ReplyCache(path) as cache:
        assert cache.get("two") == STORED
    assert caplog.messages == []


def test_a_reply_is_in_the_file_as_soon_as_it_is_put(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "r.jsonl")
    cache.put("one", STORED)
    assert (tmp_path / "r.jsonl").read_bytes().endswith(b"}\n")
    cache.close()


def test_a_full_disk_is_named_and_leaves_the_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.jsonl"
    with ReplyCache(path) as cache:
        cache.put("one", STORED)
        real = os.pwrite
        room = iter([20])

        def pwrite(file: int, data: bytes, offset: int) -> int:
            if (fits := next(room, 0)) == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(file, data[:fits], offset)

        monkeypatch.setattr(os, "pwrite", pwrite)
        with pytest.raises(CacheError, match=r"r\.jsonl: No space left on device\n  free space"):
            cache.put("two", STORED)
        assert len(cache) == 1
    with ReplyCache(path) as cache:
        assert len(cache) == 1
        assert cache.unreadable == 0


def test_a_place_where_no_file_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"r\.jsonl: File exists\n  free space or make the run folder"):
        ReplyCache(tmp_path / "file" / "r.jsonl")


@settings(deadline=None)
@given(
    text=st.text(),
    probabilities=st.none() | st.dictionaries(st.text(), st.floats(allow_nan=False)),
)
def test_any_reply_is_read_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
    probabilities: dict[str, float] | None,
) -> None:
    path = tmp_path_factory.mktemp("cache") / "r.jsonl"
    stored = replace(STORED, text=text, probabilities=probabilities)
    with ReplyCache(path) as cache:
        cache.put("k", stored)
    with ReplyCache(path) as cache:
        assert cache.get("k") == stored


def test_the_key_of_the_endpoint_is_not_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-secret-of-this-test")
    with StubLlm() as stub, ReplyCache(tmp_path / "r.jsonl") as cache:
        ask(stub.endpoint, question(), cache=cache)
        assert stub.requests[0].authorization == "Bearer sk-a-secret-of-this-test"
    assert b"sk-a-secret" not in (tmp_path / "r.jsonl").read_bytes()


def test_a_line_of_an_earlier_version_says_nothing_of_deviations_and_holds(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    fields = asdict(STORED)
    del fields["deviations"]
    lines = SealedLines(path, lambda fields: None, lost="")
    lines.append({"key": "key", **fields})
    lines.close()
    with ReplyCache(path) as cache:
        assert cache.get("key") == STORED
        assert not cache.unreadable


@pytest.mark.parametrize("text", ['```json\n{"formulas": 2, "missing": []}\n```', '{"formulas": 2}'])
def test_what_was_mended_is_known_of_a_reply_from_disk(text: str, tmp_path: Path) -> None:
    with StubLlm(answer=lambda body: f"<think>So.</think>{text}") as stub:
        with ReplyCache(tmp_path / "r.jsonl") as cache:
            (paid,) = ask(stub.endpoint, question(GRADES), cache=cache)
        with ReplyCache(tmp_path / "r.jsonl") as cache:
            (free,) = ask(stub.endpoint, question(GRADES), cache=cache)
    assert stub.totals.requests == 1
    assert free.deviations == paid.deviations
    assert len(paid.deviations) == 2
