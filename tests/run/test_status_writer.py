"""RUN/status.json while a run works, and how it ends."""

import errno
import threading
import time
from pathlib import Path

import pytest

from pipeline.files.atomic import WriteError, write_json
from pipeline.files.log import Log
from pipeline.run.progress import ShardCounts
from pipeline.run.status import Status, read_status
from pipeline.run.status_writer import written_status
from pipeline.run.store import RunFolder
from tests.run.status_runs import DONE, PRICED, at_work, finished, ingested, of

SECONDS = 20


def at_last(run: RunFolder) -> Status:
    status = read_status(run)
    assert status is not None
    return status


def test_the_status_follows_the_run_and_ends_as_done(tmp_path):
    run = RunFolder(tmp_path)
    ingested(run, 3)
    run.tell("publishing")
    at_work(run, "split", 0, ShardCounts(done=2))
    with written_status(run, PRICED, 0.01) as told:
        wait_for(run, lambda status: status.state == "working")
        # What an earlier run has left is not this one's.
        assert (at_last(run).step, run.progress("split", 0).exists()) == ("", False)
        told.shards_known(1)
        at_work(run, "split", 0, ShardCounts(done=1))
        wait_for(run, lambda status: bool(status.stages) and of(status, "split").done == 1)
        run.tell("publishing")
        finished(run, "split", 0, [DONE] * 3)
        at_work(run, "split", 0, ShardCounts(done=3, ended=True))
    status = at_last(run)
    assert (status.state, status.step, of(status, "split").done) == ("done", "publishing", 3)
    assert status.started_at < status.at
    assert not run.progress("split", 0).exists()
    assert not writers()


@pytest.mark.parametrize(
    ("error", "state", "told"),
    [
        (KeyboardInterrupt(), "stopped", ""),
        (ValueError("the model is gone\n  start it again"), "failed", "the model is gone"),
        (ValueError(), "failed", "ValueError"),
    ],
)
def test_the_status_says_how_a_run_ended_and_how_far_it_was(tmp_path, error, state, told):
    run = RunFolder(tmp_path)
    ingested(run, 3)

    def work() -> None:
        with written_status(run, PRICED) as status:
            status.shards_known(1)
            at_work(run, "split", 0, ShardCounts(done=2, running=4))
            raise error

    with pytest.raises(type(error)):
        work()
    last = at_last(run)
    assert (last.state, last.error) == (state, told)
    assert (of(last, "split").done, of(last, "split").running) == (2, 0)
    assert not writers()


def test_a_status_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path, caplog):
    run = RunFolder(tmp_path)
    run.status_file.mkdir()
    with written_status(run, PRICED, 0.01) as told:
        told.shards_known(1)
        deadline = time.monotonic() + SECONDS
        while not caplog.records:
            assert time.monotonic() < deadline
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"{run.status_file} cannot be written"
    ]


def test_on_a_full_disk_no_status_stays_that_is_no_longer_so(tmp_path, monkeypatch, caplog):
    run = RunFolder(tmp_path)
    run.tell("publishing")
    with written_status(run, PRICED):
        pass
    assert at_last(run).state == "done"
    room = threading.Event()

    def write(value, path, *, durable):
        if not room.is_set():
            raise WriteError(f"{path}: No space left on device")
        write_json(value, path, durable=durable)

    monkeypatch.setattr("pipeline.run.status_writer.write_json", write)
    with written_status(run, PRICED, 0.01):
        deadline = time.monotonic() + SECONDS
        while run.status_file.exists():
            assert time.monotonic() < deadline
        room.set()
        wait_for(run, lambda status: status.state == "working")
    assert at_last(run).state == "done"
    assert len(caplog.messages) == 1


def test_a_step_that_cannot_be_told_ends_nothing_and_leaves_no_other(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    run.tell("reading")

    def full(self, *_, **__):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        run.tell("publishing")
    assert run.step() == ""
    run.tell("publishing")
    assert run.step() == "publishing"


def test_a_line_that_cannot_be_told_ends_no_training(tmp_path):
    Log(tmp_path / "gone").tell("step 1")
    Log(tmp_path).tell("step 2")
    assert (tmp_path / "log.txt").read_text() == "step 2\n"


def writers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "status"]


def wait_for(run: RunFolder, holds) -> None:
    deadline = time.monotonic() + SECONDS
    while (status := read_status(run)) is None or not holds(status):
        assert time.monotonic() < deadline, status
        time.sleep(0.01)
