"""What is told of a shard while a stage works on it."""

import threading
import time
from collections.abc import Callable

import pytest

from pipeline.config import BuildConfig
from pipeline.ingest import ingest
from pipeline.llm.model import Usage
from pipeline.llm.serving import starting
from pipeline.run.outcomes import Done, Failed, Rejected, RejectReason
from pipeline.run.progress import ShardCounts, ShardProgress, read_counts
from pipeline.run.store import RunFolder
from pipeline.stages.registry import JOURNEYS
from pipeline.stages.run_shard import Stopped, request_stop, run_stages
from tests.builds import small_build, source_of
from tests.servers.stub_llm import StubLlm

SECONDS = 30


def test_outcomes_are_counted_by_their_kind(tmp_path):
    progress = ShardProgress(RunFolder(tmp_path), "split", 0)
    for outcome in (Done({}), Done({}), Rejected(RejectReason.LANGUAGE, "zh"), Failed("down")):
        progress.saw(outcome)
    progress.tell()
    counts = read_counts(tmp_path / "progress" / "split-00000.json")
    assert counts == ShardCounts(done=2, rejected=1, failed=1)
    assert counts.out == 4
    progress.end()
    assert read_counts(tmp_path / "progress" / "split-00000.json") == ShardCounts(2, 1, 1, ended=True)


def test_progress_that_cannot_be_written_stops_nothing(tmp_path):
    run = RunFolder(tmp_path)
    run.progress("split", 0).parent.write_text("in the way of the folder")
    progress = ShardProgress(run, "split", 0)
    progress.saw(Done({}))
    progress.end()


def test_a_shard_tells_what_runs_and_what_was_answered_while_no_trace_ends(tmp_path):
    run = RunFolder(tmp_path / "run")
    # Both traces are scored, a memento or two are written and not judged; after that there are no answers.
    with StubLlm(faults=[None, None, None, *["hang"] * 1_000]) as stub:
        build = small_build(source_of(tmp_path, 2), stub.endpoint)
        ingest(build, run, lambda done, total: None)
        run_stages([stage.name for stage in JOURNEYS[0]], 0, run, build, None)
        worker = threading.Thread(target=journey_until_stopped, args=(run, build))
        worker.start()
        try:
            counts = told(run, lambda counts: counts.running > 0 and asked(counts).requests > 0)
        finally:
            request_stop(run)
            worker.join(SECONDS)
    assert not worker.is_alive()
    assert (counts.out, counts.ended) == (0, False)
    assert asked(counts).prompt_tokens > 0
    scored = read_counts(run.progress("score", 0))
    assert scored is not None
    assert (scored.out, scored.running) == (2, 0)


def asked(counts: ShardCounts) -> Usage:
    return sum(counts.usage.values(), Usage())


def journey_until_stopped(run: RunFolder, build: BuildConfig) -> None:
    with starting(build.llm, run.root / "engine.log", run.tell) as model:
        served = model.ready()
        with pytest.raises(Stopped):
            run_stages([stage.name for stage in JOURNEYS[1]], 0, run, build, served)


def told(run: RunFolder, holds: Callable[[ShardCounts], bool]) -> ShardCounts:
    deadline = time.monotonic() + SECONDS
    while (counts := read_counts(run.progress("mementos", 0))) is None or not holds(counts):
        assert time.monotonic() < deadline, counts
        time.sleep(0.02)
    return counts
