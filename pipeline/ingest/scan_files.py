"""Pass 1 over many files: in this process where they are few or small, else in one process per core."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from pipeline.config import BuildConfig
from pipeline.ingest.benchmarks import Benchmarks
from pipeline.ingest.scan_file import scan_file
from pipeline.ingest.sources import SourceFile
from pipeline.processes.workers import workers

Due = Sequence[tuple[SourceFile, Path]]
# Processes take some seconds to start, so they pay only where much is left to read.
PROCESSES_PAY_AFTER = 20.0


def scan_files(
    due: Due,
    config: BuildConfig,
    on_rows: Callable[[int], None],
    benchmarks: Benchmarks | None = None,
    *,
    pays_after: float = PROCESSES_PAY_AFTER,
) -> None:
    """Writes the facts of each file to its target; a file is scanned whole or not at all.

    The first files tell how long the others will take: once that is more than `pays_after` seconds, the
    rest is shared among processes. on_rows gets the number of rows read since it was last called.
    """
    started = time.monotonic()
    for done, (file, target) in enumerate(due, start=1):
        scan_file(file, config, benchmarks, target, on_rows)
        rest = due[done:]
        if len(rest) > 1 and (time.monotonic() - started) / done * len(rest) > pays_after:
            _scan_in_processes(rest, config, on_rows, benchmarks)
            break


def _scan_in_processes(
    due: Due, config: BuildConfig, on_rows: Callable[[int], None], benchmarks: Benchmarks | None
) -> None:
    with workers(len(due)) as pool:
        scans = [pool.submit(_rows_scanned, file, config, benchmarks, target) for file, target in due]
        for scan in as_completed(scans):
            on_rows(scan.result())


def _rows_scanned(file: SourceFile, config: BuildConfig, benchmarks: Benchmarks | None, target: Path) -> int:
    rows: list[int] = []
    scan_file(file, config, benchmarks, target, rows.append)
    return sum(rows)
