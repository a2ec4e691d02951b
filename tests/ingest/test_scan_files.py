"""The scan of many files: the same facts whether one process reads them or several."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.ingest.scan_files import scan_files
from pipeline.ingest.sources import SourceError, find_files
from tests.ingest.workshop import Workshop, make_row


@pytest.fixture
def files(workshop: Workshop) -> Workshop:
    for file in range(4):
        workshop.jsonl(f"{file}.jsonl", [make_row(10 * file + n) for n in range(10)])
    return workshop


def facts(workshop: Workshop, folder: Path, pays_after: float) -> tuple[dict[str, bytes], int]:
    folder.mkdir()
    rows: list[int] = []
    due = [(file, folder / file.name) for file in find_files(workshop.config().source)]
    scan_files(due, workshop.config(), rows.append, pays_after=pays_after)
    return {path.name: path.read_bytes() for path in folder.iterdir()}, sum(rows)


@pytest.mark.slow
def test_processes_write_the_facts_that_one_process_writes(files: Workshop, tmp_path: Path) -> None:
    alone = facts(files, tmp_path / "alone", pays_after=1e9)
    assert facts(files, tmp_path / "shared", pays_after=0.0) == alone
    assert alone[1] == 40


@pytest.mark.slow
def test_what_goes_wrong_in_a_process_is_raised(files: Workshop, tmp_path: Path) -> None:
    due = [(file, tmp_path / file.name) for file in find_files(files.config().source)]
    (files.folder / "3.jsonl").unlink()
    with pytest.raises((SourceError, FileNotFoundError), match=r"3\.jsonl"):
        scan_files(due, files.config(), lambda rows: None, pays_after=0.0)


@pytest.mark.slow
def test_no_process_outlives_a_killed_scan(files: Workshop, tmp_path: Path) -> None:
    for file in range(4):
        files.jsonl(f"{file}.jsonl", [make_row(n) for n in range(30_000)])
    program = f"""
from pathlib import Path
from pipeline.config import BuildConfig
from pipeline.ingest.scan_files import scan_files
from pipeline.ingest.sources import find_files
if __name__ == "__main__":
    config = BuildConfig.model_validate({{"name": "t", "source": {{"paths": [{str(files.folder)!r}]}}}})
    due = [(file, Path({str(tmp_path)!r}, file.name)) for file in find_files(config.source)]
    scan_files(due, config, lambda rows: None, pays_after=0.0)
"""
    (tmp_path / "scan.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    scan = subprocess.Popen([sys.executable, tmp_path / "scan.py"], env=environment)
    processes: list[psutil.Process] = []
    while len(processes) < 2:
        assert scan.poll() is None
        time.sleep(0.05)
        processes = psutil.Process(scan.pid).children()
    scan.send_signal(signal.SIGKILL)
    scan.wait()
    gone, alive = psutil.wait_procs(processes, timeout=30)
    assert len(gone) >= 2
    assert not alive
