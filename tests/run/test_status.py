"""What a run is doing, computed from manifests and progress files; expectations are worked out by hand."""

import json
from dataclasses import dataclass

import pytest

from pipeline.config import BuildConfig
from pipeline.llm.model import Usage
from pipeline.run.progress import ShardCounts, read_counts
from pipeline.run.status import Status, read_status
from pipeline.run.status_reader import StatusReader
from pipeline.run.store import RunFolder
from tests.run.status_runs import DONE, FAILED, PRICED, REJECTED, at_work, finished, ingested, of, traces

ASKED = Usage(requests=3, prompt_tokens=4_000, cached_tokens=1_000, completion_tokens=200)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def reader(run: RunFolder, shards: int, clock: Clock | None = None) -> StatusReader:
    made = StatusReader(run, PRICED, clock or Clock())
    made.shards_known(shards)
    return made


def test_there_are_no_stages_before_the_traces_have_been_read(tmp_path):
    run = RunFolder(tmp_path)
    ingested(run, 5)
    run.tell("reading and selecting traces")
    status = StatusReader(run, PRICED).read()
    assert (status.name, status.state, status.step) == ("small", "working", "reading and selecting traces")
    assert (status.stages, status.cost) == ((), 0)


def test_finished_shards_and_those_at_work_are_added_up(tmp_path):
    run = RunFolder(tmp_path)
    ingested(run, 5, 4, 3)
    finished(run, "split", 0, [DONE, DONE, DONE, DONE, REJECTED])
    finished(run, "score", 0, [DONE] * 4, ASKED)
    finished(run, "partition", 0, [DONE] * 4)
    finished(run, "mementos", 0, [DONE, DONE, DONE, REJECTED], ASKED)
    finished(run, "split", 1, [DONE] * 4)
    at_work(run, "score", 1, ShardCounts(done=2, rejected=1, running=7, usage={"score": ASKED}))
    at_work(run, "partition", 1, ShardCounts(done=2))
    at_work(run, "mementos", 1, ShardCounts(done=1, running=5, usage={"judge": ASKED}))
    status = reader(run, 3).read()
    assert traces(status) == {
        "split": (9, 12),
        "score": (7, 11),
        "partition": (6, 10),
        "mementos": (5, 10),
        "records": (0, 9),
    }
    score, mementos = of(status, "score"), of(status, "mementos")
    assert (score.rejected, score.running, score.at_work) == (1, 7, True)
    assert (mementos.rejected, mementos.running, mementos.at_work) == (1, 5, True)
    # Every trace that has come to it has left it.
    assert not of(status, "partition").at_work
    assert (mementos.requests, mementos.prompt_tokens, mementos.completion_tokens) == (6, 8_000, 400)
    assert mementos.cached_share == 0.25
    assert status.cost == pytest.approx(4 * (4_000 + 10 * 200) / 1e6)
    assert [stage.name for stage in status.stages if stage.begun] == ["score", "partition", "mementos"]


def test_cost_is_unknown_without_prices(tmp_path):
    run = RunFolder(tmp_path)
    ingested(run, 1)
    made = StatusReader(run, BuildConfig(name="x"))
    made.shards_known(1)
    assert made.read().cost is None


def test_counts_stay_as_they_are_when_a_shard_ends(tmp_path):
    run = RunFolder(tmp_path)
    ingested(run, 3)
    finished(run, "split", 0, [DONE] * 3)
    made = reader(run, 1)
    usage = Usage(requests=3, prompt_tokens=400, completion_tokens=20, paid_before_prompt_tokens=100)
    counts = ShardCounts(done=2, rejected=1, usage={"judge": usage})
    at_work(run, "score", 0, counts)
    while_at_work = made.read()
    finished(run, "score", 0, [DONE, DONE, REJECTED], usage)
    with_manifest = made.read()
    at_work(run, "score", 0, ShardCounts(done=2, rejected=1, usage={"judge": usage}, ended=True))
    ended = made.read()
    assert while_at_work.stages == with_manifest.stages == ended.stages
    assert while_at_work.cost == with_manifest.cost == ended.cost == pytest.approx((500 + 10 * 20) / 1e6)
    run.progress("score", 0).unlink()
    assert made.read().stages == ended.stages


def test_failed_traces_count_in_the_run_that_lost_them_and_wait_for_the_next(tmp_path):
    run = RunFolder(tmp_path)
    ingested(run, 3)
    made = reader(run, 1)
    finished(run, "split", 0, [DONE, DONE, FAILED])
    at_work(run, "split", 0, ShardCounts(done=2, failed=1, ended=True))
    status = made.read()
    assert traces(status)["split"] == (3, 3)
    assert traces(status)["score"] == (0, 2)
    assert of(status, "split").failed == 1
    run.progress("split", 0).unlink()
    assert traces(reader(run, 1).read())["split"] == (0, 3)


def test_what_lies_behind_a_stage_that_is_done_again_does_not_count(tmp_path):
    run = RunFolder(tmp_path)
    ingested(run, 2)
    for stage in ("split", "score", "partition"):
        finished(run, stage, 0, [DONE] * 2)
    assert traces(reader(run, 1).read())["partition"] == (2, 2)
    run.manifest("split", 0).unlink()
    assert traces(reader(run, 1).read())["partition"] == (0, 2)


@pytest.mark.parametrize("content", ["", '{"done": 2, "fai', "[]", '{"done": "many"}', '{"usage": [1]}'])
def test_a_progress_file_that_cannot_be_read_changes_nothing(tmp_path, content):
    run = RunFolder(tmp_path)
    ingested(run, 3)
    made = reader(run, 1)
    at_work(run, "split", 0, ShardCounts(done=1))
    assert traces(made.read())["split"] == (1, 3)
    run.progress("split", 0).write_text(content)
    assert traces(made.read())["split"] == (1, 3)
    assert read_counts(run.progress("split", 0)) is None


def test_a_progress_file_of_an_older_version_tells_what_it_knows(tmp_path):
    path = tmp_path / "split-00000.json"
    path.write_text('{"done": 3}')
    assert read_counts(path) == ShardCounts(done=3)


def test_tokens_per_second_move_while_no_trace_ends(tmp_path):
    run, clock = RunFolder(tmp_path), Clock()
    ingested(run, 3)
    finished(run, "split", 0, [DONE] * 3)
    made = reader(run, 1, clock)
    made.read()
    clock.now += 10
    at_work(run, "score", 0, ShardCounts(running=2, usage={"score": ASKED}))
    score = of(made.read(), "score")
    assert (score.prompt_tokens_per_second, score.completion_tokens_per_second) == (400, 20)
    assert (score.done, score.rate, score.eta_seconds) == (0, 0, None)


def test_rate_and_time_left_are_those_of_this_run_since_the_stage_began(tmp_path):
    run, clock = RunFolder(tmp_path), Clock()
    ingested(run, 6, 10)
    finished(run, "split", 0, [DONE] * 6)
    made = reader(run, 2, clock)
    for _ in range(3):
        clock.now += 1_000
        assert of(made.read(), "split").rate == 0
    clock.now += 20
    at_work(run, "split", 1, ShardCounts(done=4))
    split = of(made.read(), "split")
    assert (split.done, split.expected) == (10, 16)
    assert split.rate == pytest.approx(4 / 20)
    assert split.eta_seconds == pytest.approx(6 / (4 / 20))


def test_the_rate_is_that_of_the_last_minute_where_many_traces_end_in_one(tmp_path):
    run, clock = RunFolder(tmp_path), Clock()
    ingested(run, 1_000)
    made = reader(run, 1, clock)
    made.read()
    for done in (100, 130, 160):
        clock.now += 60
        at_work(run, "split", 0, ShardCounts(done=done))
        split = of(made.read(), "split")
    assert split.rate == pytest.approx(30 / 60)
    # Of ten minutes where few do.
    clock.now += 60
    at_work(run, "split", 0, ShardCounts(done=161))
    assert of(made.read(), "split").rate == pytest.approx(161 / 240, rel=1e-4)


def test_a_shard_that_is_tried_again_is_no_negative_rate(tmp_path):
    run, clock = RunFolder(tmp_path), Clock()
    ingested(run, 50)
    made = reader(run, 1, clock)
    for done in (0, 40, 2):
        clock.now += 1
        usage = {"score": Usage(requests=done, prompt_tokens=done)}
        at_work(run, "split", 0, ShardCounts(done=done, usage=usage))
        split = of(made.read(), "split")
        assert min(split.rate, split.prompt_tokens_per_second, split.completion_tokens_per_second) >= 0
    assert split.done == 2


def test_nothing_runs_any_more_once_the_run_has_ended(tmp_path):
    run = RunFolder(tmp_path)
    ingested(run, 3)
    made = reader(run, 1)
    at_work(run, "split", 0, ShardCounts(done=1, running=9))
    split = of(made.read("stopped"), "split")
    assert (split.done, split.running, split.at_work) == (1, 0, False)


def test_a_status_is_read_as_it_was_written(tmp_path):
    run = RunFolder(tmp_path)
    ingested(run, 3)
    status = reader(run, 1).read("failed", "the disk is full")
    told = status.as_json()
    assert Status.from_json(json.loads(json.dumps(told))) == status
    run.status_file.write_text(json.dumps(told | {"of a later version": 1}))
    assert read_status(run) == status
    for content in ("", '{"name": "x"', "[]", "{}", json.dumps(told | {"stages": [{}]})):
        run.status_file.write_text(content)
        assert read_status(run) is None
    run.status_file.unlink()
    assert read_status(run) is None
