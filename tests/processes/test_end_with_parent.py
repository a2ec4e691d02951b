"""A guarded server never outlives the process that asked for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pipeline.processes import end_with_parent
from pipeline.processes.commands import guarded as guarded_command

# A server with a child, as vLLM has; both write their process ids to stdout.
SERVER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
import os
print(os.getpid(), child.pid, flush=True)
child.wait()
"""
# The same, deaf to SIGTERM.
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
# A pipeline that starts the guard and then waits to be killed.
PIPELINE = """
import subprocess, sys, time
from pipeline.processes.commands import guarded
command = guarded([sys.executable, "-c", sys.argv[1]])
guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
time.sleep(600)
"""


@contextmanager
def guarded(program: str) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A guard over a program, and the program's processes."""
    command = guarded_command([sys.executable, "-c", program])
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        yield process, [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    finally:
        process.communicate()


def test_the_end_of_stdin_ends_the_server_and_its_children() -> None:
    with guarded(SERVER) as (process, family):
        assert len(family) == 2
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        assert process.wait(10) == 128 + signal.SIGTERM
        until(lambda: not alive(family))


def test_sigterm_to_the_guard_ends_the_server_and_its_children() -> None:
    with guarded(SERVER) as (process, family):
        process.terminate()
        process.wait(10)
        until(lambda: not alive(family))


def test_a_server_deaf_to_sigterm_is_killed_after_the_grace() -> None:
    with guarded(STUBBORN) as (process, family):
        started = time.monotonic()
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGKILL
        assert time.monotonic() - started >= end_with_parent.GRACE_SECONDS
        until(lambda: not alive(family))


def test_kill_9_of_the_pipeline_ends_the_server_and_its_children() -> None:
    command = [sys.executable, "-c", PIPELINE, SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pipeline:
        assert pipeline.stdout is not None
        family = [psutil.Process(int(pid)) for pid in pipeline.stdout.readline().split()]
        assert len(alive(family)) == 2
        os.kill(pipeline.pid, signal.SIGKILL)
        until(lambda: not alive(family))


def test_children_that_a_dead_server_leaves_behind_are_killed() -> None:
    with guarded(SERVER) as (process, family):
        server, child = family
        server.kill()
        assert process.wait(10) == 128 + signal.SIGKILL
        until(lambda: not alive([child]))


@pytest.mark.parametrize("code", [0, 3])
def test_the_guard_exits_with_the_servers_exit_code(code: int) -> None:
    with guarded(f"print(); raise SystemExit({code})") as (process, _):
        assert process.wait(10) == code


def test_a_command_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    command = guarded_command([str(tmp_path / "nothing")])
    done = subprocess.run(command, stdin=subprocess.PIPE, capture_output=True, text=True)
    assert done.returncode == 127
    assert done.stderr == f"guard: cannot start {tmp_path / 'nothing'}: No such file or directory\n"


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie whose parent is gone does not."""
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Returns when the condition holds; fails when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
