"""Keeps RUN/status.json up to date while a run works."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipeline.config import BuildConfig
from pipeline.files.atomic import write_json
from pipeline.run.progress import clear_progress
from pipeline.run.status import State
from pipeline.run.status_reader import StatusReader
from pipeline.run.store import RunFolder

LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_WRITES = 1.0


@contextmanager
def written_status(
    run: RunFolder, build: BuildConfig, seconds: float = _SECONDS_BETWEEN_WRITES
) -> Iterator[StatusReader]:
    """Writes the run's status every second while the body works, and how it ended at last.

    The body tells the reader when the shards are known. The caller holds the run's lock. A status that cannot
    be read or written is told to the log once, and stops nothing; until one can be, there is none.
    """
    clear_progress(run)
    with suppress(OSError):
        run.step_file.unlink(missing_ok=True)
    writer = _Writer(run, StatusReader(run, build), seconds)
    writer.thread.start()
    try:
        yield writer.reader
    except Exception as error:
        writer.end("failed", next(iter(str(error).splitlines()), type(error).__name__))
        raise
    except BaseException:
        writer.end("stopped")
        raise
    else:
        writer.end("done")
    finally:
        clear_progress(run)


class _Writer:
    def __init__(self, run: RunFolder, reader: StatusReader, seconds: float) -> None:
        self.reader = reader
        self.thread = threading.Thread(target=self._keep_writing, name="status", daemon=True)
        self._run = run
        self._seconds = seconds
        self._ended = threading.Event()
        self._has_told = False

    def end(self, state: State, error: str = "") -> None:
        """Writes the status for the last time."""
        self._ended.set()
        self.thread.join()
        self._write(state, error)

    def _keep_writing(self) -> None:
        while not self._ended.is_set():
            self._write("working")
            self._ended.wait(self._seconds)

    def _write(self, state: State, error: str = "") -> None:
        try:
            write_json(self.reader.read(state, error).as_json(), self._run.status_file, durable=False)
        except Exception as problem:  # whatever it is: people look at the status, and nothing else does
            # What it said before is no longer so; removing it takes no room on a disk that is full.
            with suppress(OSError):
                self._run.status_file.unlink(missing_ok=True)
            if not self._has_told:
                LOG.warning("%s cannot be written: %s", self._run.status_file, problem)
            self._has_told = True
