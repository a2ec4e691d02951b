"""A disk that is full or not writable: one clear line, and the same command goes on once there is room."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import ROOT, PrefectServer
from tests.flows.test_dataset import SAMPLE, build_command
from tests.servers.stub_llm import StubLlm
from tests.sft.tiny import tiny

pytestmark = pytest.mark.slow

# A file system of its own, seen by this process alone and gone with it.
NAMESPACE = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
SETTINGS = {"score__detector": "cues", "select__limit": 6, "traces_per_shard": 2}
MODULE = [sys.executable, "-m", "pipeline"]
SHORT_TRAINING = tiny(
    model={"scratch": {"layers": 1, "width": 64, "heads": 2, "kv_heads": 1}},
    full={"max_steps": 4, "batch": 4, "evaluations": 2},
    memento=None,
)
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
        done = twice(command, prefect_server, disk, size)
    assert done.returncode == 0, done.stderr
    assert_told_in_a_line(disk)
    totals = json.loads(done.stdout)
    assert (totals["done"], totals["failed"]) == (6, 0)


def test_a_disk_full_of_checkpoints_is_told_in_a_line_and_the_training_goes_on(
    prefect_server, disk: Path, tmp_path: Path
) -> None:
    settings = SHORT_TRAINING.model_dump_json()
    (tmp_path / "sft.yaml").write_text(settings)
    command = [*MODULE, "sft", "-c", str(tmp_path / "sft.yaml"), "-r", str(disk / "run"), "--json"]
    # The first of two checkpoints fits.
    done = twice(command, prefect_server, disk, "1450k")
    assert done.returncode == 0, done.stderr
    assert_told_in_a_line(disk)
    assert "going on from checkpoint-2" in done.stderr


def twice(
    command: list[str], prefect_server: PrefectServer, disk: Path, size: str
) -> subprocess.CompletedProcess[str]:
    """The second of two runs, with room; what the first has said is beside the disk."""
    return subprocess.run(
        [*NAMESPACE, BEGIN_FULL, size, str(disk), *command],
        env=prefect_server.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )


def assert_told_in_a_line(disk: Path) -> None:
    first = Path(f"{disk}.first").read_text()
    told = first[first.index("error: ") :].splitlines()
    assert told[0].startswith(f"error: {disk / 'run'}/")
    assert told[0].endswith("No space left on device")
    assert "free space" in told[1]
    assert told[2:] == ["exit code 1"]
    assert "Traceback" not in first


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
