import pytest

from pipeline.config_file import ConfigError
from pipeline.files.damage import DamageError
from pipeline.inspection import NotThere
from pipeline.run.store import RunFolder
from pipeline.verdicts import memento_of, mementos_of, points_that_pass
from tests.commands.runs import REASONING, partitioned_run
from tests.verdicts.runs import done_trace, judged_run, sha256


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return judged_run(tmp_path / "run")


def test_mementos_come_with_their_blocks_and_what_the_judge_said(run):
    found = list(mementos_of(run, [done_trace(run)["trace_id"]]))
    assert "".join(one.block_text for one in found) == REASONING
    assert [one.score for one in found] == [8, 5, 8]
    assert [one.passes(8) for one in found] == [True, False, True]
    assert [one.passes(9) for one in found] == [False, False, False]
    assert found[1].key == (done_trace(run)["trace_id"], 1, sha256("First try 1."))
    assert {one.domain for one in found} == {"math"}


def test_the_memento_of_a_block_is_found_by_trace_and_number(run):
    assert memento_of(run, done_trace(run)["trace_id"], 2).text == "Twelve and one are 13 (2)."


def test_a_trace_and_a_block_that_are_not_there_are_told_apart(run):
    trace_id = done_trace(run)["trace_id"]
    # The beginning of an id, which is enough to inspect a trace, is not enough to say something of it.
    for unknown in ("no-such-trace", trace_id[:-1], ""):
        with pytest.raises(NotThere, match=f"no trace '{unknown}' whose mementos are written"):
            memento_of(run, unknown, 0)
    for number in (3, -1):
        with pytest.raises(NotThere, match=f"no block {number}: its blocks are 0 to 2"):
            memento_of(run, trace_id, number)


def test_a_trace_without_mementos_has_none(tmp_path):
    run, _ = partitioned_run(tmp_path / "run")
    trace_id = run.read("partition", 0)["trace_id"][0].as_py()
    assert list(mementos_of(run, [trace_id])) == []


def test_mementos_that_an_older_run_left_behind_are_not_those_of_the_run(run):
    trace_id = done_trace(run)["trace_id"]
    run.manifest("split", 0).unlink()
    assert list(mementos_of(run, [trace_id])) == []


def test_a_damaged_shard_is_named(run):
    trace_id = done_trace(run)["trace_id"]
    shard = run.shard("mementos", 0)
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(DamageError, match=r"shard-00000\.parquet"):
        memento_of(run, trace_id, 0)


def test_points_that_pass_are_those_of_the_runs_config(run):
    assert points_that_pass(run) == 8
    run.config_file.unlink()
    with pytest.raises(ConfigError, match=r"config\.json: no such file, .* run the build again"):
        points_that_pass(run)
