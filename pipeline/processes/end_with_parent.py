"""A small process between the pipeline and a server it starts: the server never outlives the pipeline.

    python -P -m pipeline.processes.end_with_parent -- COMMAND ARGUMENTS…

The command gets a process group of its own. When the guard's stdin ends (the pipeline is gone, however
it died) or the guard gets SIGTERM, the whole group is ended: SIGTERM, and SIGKILL for what is left after
the grace. When the command ends by itself, what it left behind is killed. The guard exits with the
command's exit code, or 128 + the signal that ended it, as shells do.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from types import FrameType

GRACE_SECONDS = 5.0
LOOK_SECONDS = 0.2


def main() -> int:
    """Exit code of the guarded command; 127 where it cannot be started."""
    command = sys.argv[2:] if sys.argv[1:2] == ["--"] else sys.argv[1:]
    wanted_to_end = _note_sigterm()
    try:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"guard: cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    while server.poll() is None and not wanted_to_end and not _stdin_ended():
        pass
    _end_group(server)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def _note_sigterm() -> list[int]:
    got: list[int] = []

    def note(signum: int, _frame: FrameType | None) -> None:
        got.append(signum)

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pipeline's to handle
    return got


def _stdin_ended() -> bool:
    readable, _, _ = select.select([sys.stdin.fileno()], [], [], LOOK_SECONDS)
    return bool(readable) and os.read(sys.stdin.fileno(), 1024) == b""


def _end_group(server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + GRACE_SECONDS
    if server.poll() is None:
        _signal_group(server.pid, signal.SIGTERM)
    while server.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_group(server.pid, signal.SIGKILL)  # what the server left behind, or all of it
    server.wait()


def _signal_group(group: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signum)


if __name__ == "__main__":
    sys.exit(main())
