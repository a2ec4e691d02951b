"""A disk that is full or not writable: one clear line, and the same command goes on once there is room."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.flows.conftest import ROOT
from tests.flows.test_dataset import SAMPLE, build_command
from tests.servers.stub_llm import StubLlm

pytestmark = pytest.mark.slow

# A file system of its own, seen by this process alone and gone with it.
NAMESPACE = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
SETTINGS = {"score__detector": "cues", "select__limit": 6, "traces_per_shard": 2}
BEGIN_FULL = """
mount -t tmpfs -o size=$0 tmpfs "$1" && disk=$1 && shift || exit 99
"$@" > "$disk.first" 2>&1; echo "exit code $?" >> "$disk.first"
mount -o remount,size=64m "$disk" || exit 99
exec "$@"
"""
READ_ONLY = """
mount -t tmpfs -o size=8m tmpfs "$0" && mkdir "$0/run" && mount -o remount,ro "$0" || exit 99
exec "$@"
"""


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ['mount -t tmpfs tmpfs "$0"', str(folder)]
    try:
        possible = subprocess.run([*NAMESPACE, *mount], capture_output=True).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("this process may not mount a file system of its own")
    return folder


# Of the 900 KB that the run comes to: full while traces are read, mementos written, the dataset published.
@pytest.mark.parametrize(
    "size", ["400k", *(pytest.param(size, marks=pytest.mark.exhaustive) for size in ("24k", "750k"))]
)
def test_a_full_disk_is_told_in_a_line_and_the_run_goes_on_once_there_is_room(
    prefect_server, disk: Path, size: str
) -> None:
    with StubLlm() as stub:
        command = build_command(stub.endpoint, (SAMPLE,), disk / "run", SETTINGS)
        done = subprocess.run(
            [*NAMESPACE, BEGIN_FULL, size, str(disk), *command],
            env=prefect_server.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=240,
        )
    first = Path(f"{disk}.first").read_text()
    told = first[first.index("error: ") :].splitlines()
    assert told[0].startswith(f"error: {disk / 'run'}/")
    assert told[0].endswith("No space left on device")
    assert "free space" in told[1]
    assert told[2:] == ["exit code 1"]
    assert "Traceback" not in first
    assert done.returncode == 0, done.stderr
    totals = json.loads(done.stdout)
    assert (totals["done"], totals["failed"]) == (6, 0)


def test_a_run_folder_that_cannot_be_written_is_told_in_a_line(prefect_server, disk: Path) -> None:
    with StubLlm() as stub:
        command = build_command(stub.endpoint, (SAMPLE,), disk / "run", SETTINGS)
        done = subprocess.run(
            [*NAMESPACE, READ_ONLY, str(disk), *command],
            env=prefect_server.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert done.returncode == 1
    assert done.stderr == f"error: {disk / 'run'}: cannot be written; name another with --run-dir\n"
