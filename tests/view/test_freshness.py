import asyncio
import os
from pathlib import Path

import pytest

from pipeline.run.store import RunFolder
from pipeline.verdicts import put
from pipeline.view import Freshness
from tests.verdicts.runs import verdict


class Report:
    """Counts how often it was written, and fails while it has a `failure`; `lines` are what was told."""

    def __init__(self, run: RunFolder, **options: float) -> None:
        self.written = 0
        self.failure = ""
        self.lines: list[str] = []
        self.freshness = Freshness([run], self.write, self.lines.append, **options)

    def write(self) -> None:
        if self.failure:
            raise RuntimeError(self.failure)
        self.written += 1


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that has one manifest."""
    folder = RunFolder(tmp_path)
    finish(folder, "ingest", 0)
    return folder


def finish(run: RunFolder, stage: str, shard: int) -> None:
    """As if the stage had finished the shard, later than anything before."""
    manifest = run.manifest(stage, shard)
    manifest.parent.mkdir(exist_ok=True)
    manifest.write_text("{}")
    last = max(path.stat().st_mtime_ns for path in run.root.glob("*/shard-*.json"))
    os.utime(manifest, ns=(last + 1, last + 1))


def test_nothing_is_written_where_nothing_has_changed(run):
    report = Report(run)
    report.freshness.look()
    run.tell("a step that no page shows")
    report.freshness.look()
    assert report.written == 0


def test_a_finished_shard_is_written_once(run):
    report = Report(run)
    finish(run, "split", 0)
    report.freshness.look()
    report.freshness.look()
    assert report.written == 1


def test_a_shard_that_is_done_again_or_removed_is_written(run):
    finish(run, "ingest", 1)
    report = Report(run)
    finish(run, "ingest", 1)
    report.freshness.look()
    assert report.written == 1
    run.manifest("ingest", 0).unlink()
    report.freshness.look()
    assert report.written == 2


def test_a_verdict_is_written(run):
    report = Report(run)
    put(run, verdict("a", 0))
    report.freshness.look()
    assert report.written == 1


def test_what_changes_while_it_is_written_is_for_the_next_time(run):
    report = Report(run)
    written: list[int] = []

    def write() -> None:
        written.append(len(written))
        if len(written) == 1:
            finish(run, "score", 0)

    report.freshness = Freshness([run], write, report.lines.append)
    finish(run, "split", 0)
    for _ in range(3):
        report.freshness.look()
    assert len(written) == 2


def test_an_error_is_told_once_and_it_is_tried_again(run):
    report = Report(run)
    finish(run, "split", 0)
    report.failure = "no space left"
    report.freshness.look()
    report.freshness.look()
    assert report.lines == ["the report could not be written again: no space left"]
    report.failure = ""
    report.freshness.look()
    assert report.written == 1
    finish(run, "score", 0)
    report.failure = "no space left"
    report.freshness.look()
    assert len(report.lines) == 2


def test_it_looks_again_and_again_until_it_is_cancelled(run):
    async def keep() -> None:
        loop = asyncio.get_running_loop()
        written = asyncio.Event()
        report = Freshness([run], lambda: loop.call_soon_threadsafe(written.set), print, seconds=0.001)
        keeping = asyncio.create_task(report.keep())
        for stage in ("split", "score"):
            finish(run, stage, 0)
            await asyncio.wait_for(written.wait(), 30)
            written.clear()
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping

    asyncio.run(keep())
