"""What each trace took: beside the stages' files, complete after a resumed run, and needed by nobody."""

import pyarrow.parquet as pq
import pytest

from pipeline.llm.model import Reply, Usage
from pipeline.run.effort import Effort, effort_of, read_effort, write_effort
from pipeline.run.repair import repair_records
from pipeline.run.store import RunFolder
from tests.builds import run_build, small_build, source_of
from tests.servers.stub_llm import StubLlm


def reply(usage: Usage, attempts: int = 1) -> Reply:
    return Reply("x", "stub", attempts, usage)


def test_efforts_of_the_stages_are_added_up_by_trace(tmp_path):
    run = RunFolder(tmp_path)
    write_effort(run, "score", 0, {"a": Effort(1.5, 2, 30, 10, 4), "b": Effort(0.5, 1, 5, 0, 1)})
    write_effort(run, "mementos", 0, {"a": Effort(2.0, 3, 70, 20, 6)})
    write_effort(run, "mementos", 1, {"c": Effort(9.0, 9, 9, 9, 9)})
    assert read_effort(run, 0) == {"a": Effort(3.5, 5, 100, 30, 10), "b": Effort(0.5, 1, 5, 0, 1)}
    assert read_effort(run, 2) == {}


def test_no_changed_byte_goes_unnoticed_and_the_file_is_set_aside_by_the_next_build(tmp_path, caplog):
    run = RunFolder(tmp_path)
    path = run.effort("score", 0)
    write_effort(run, "score", 0, {"a": Effort(1.0, 1, 1, 1, 1)})
    whole = path.read_bytes()
    read = read_effort(run, 0)
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :])
        # A byte that means nothing, such as of a statistic, may change nothing.
        assert read_effort(run, 0) in ({}, read)
    path.write_bytes(whole[:-9])
    write_effort(run, "mementos", 0, {"a": Effort(2.0, 2, 2, 2, 2)})
    caplog.clear()
    repair_records(run)
    (line,) = caplog.messages
    assert line.startswith(f"{path}: damaged (")
    assert line.endswith("set aside as score-00000.parquet.damaged and left out of the report")
    caplog.clear()
    assert read_effort(run, 0) == {"a": Effort(2.0, 2, 2, 2, 2)}
    repair_records(run)
    assert caplog.messages == []


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing", None])
def test_a_damaged_file_counts_as_not_there(tmp_path, content):
    run = RunFolder(tmp_path)
    write_effort(run, "score", 0, {"a": Effort(1.0, 1, 1, 1, 1)})
    write_effort(run, "mementos", 0, {"a": Effort(2.0, 2, 2, 2, 2)})
    damaged = run.effort("score", 0)
    if content is None:
        pq.write_table(pq.read_table(damaged).drop_columns(["requests"]), damaged)
    else:
        damaged.write_bytes(content)
    assert read_effort(run, 0) == {"a": Effort(2.0, 2, 2, 2, 2)}


def test_what_an_earlier_run_paid_counts_and_what_is_shared_counts_once():
    continued = Usage(requests=1, prompt_tokens=10, completion_tokens=2, paid_before_prompt_tokens=20)
    assert effort_of(reply(continued, attempts=3)) == Effort(0.0, 3, 30, 0, 2)
    from_disk = Usage(replies_from_disk=1, paid_before_prompt_tokens=20, paid_before_cached_tokens=5)
    assert effort_of(reply(from_disk)) == Effort(0.0, 1, 20, 5, 0)
    assert effort_of(reply(Usage(replies_from_disk=1), attempts=2)) == Effort()


def test_a_build_writes_what_was_asked_for_each_trace(tmp_path):
    run = RunFolder(tmp_path / "run")
    with StubLlm() as stub:
        build = small_build(source_of(tmp_path, 3), stub.endpoint)
        run_build(build, run)
        efforts = read_effort(run, 0) | read_effort(run, 1)
        assert set(efforts) == {id for shard in (0, 1) for id in ids(run, shard)}
        assert sum(effort.requests for effort in efforts.values()) == stub.totals.requests
        assert sum(effort.prompt_tokens for effort in efforts.values()) == stub.totals.prompt_tokens
        assert sum(effort.cached_tokens for effort in efforts.values()) == stub.totals.cached_tokens
        assert sum(effort.completion_tokens for effort in efforts.values()) == stub.totals.completion_tokens
        assert all(effort.seconds > 0 for effort in efforts.values())
        # Made again from replies on disk, it took the same.
        run.manifest("mementos", 0).unlink()
        run_build(build, run)
        assert {id: effort.requests for id, effort in read_effort(run, 0).items()} == {
            id: efforts[id].requests for id in ids(run, 0)
        }
        run.remove_shards_from(1, ["score", "mementos"])
        assert read_effort(run, 1) == {}
        # A stage that no longer asks leaves nothing of what it had asked.
        cues = build.score.model_copy(update={"detector": "cues"})
        run_build(build.model_copy(update={"score": cues}), run)
        assert not run.effort("score", 0).exists()


def ids(run: RunFolder, shard: int) -> list[str]:
    return run.read("mementos", shard, ["trace_id"]).column("trace_id").to_pylist()
