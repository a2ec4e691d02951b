"""Commands that die at a chosen moment, in processes that are forked so that a kill takes seconds.

`python -m tests.kills` imports what commands need, then starts a process per line of its input.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# What changes a folder, as Python tells its auditors (PEP 578). What libraries write by themselves lies
# between such changes, where a process dies some time after one.
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.truncate"}
_MOST_SECONDS_AFTER = 0.2


@dataclass(frozen=True)
class Order:
    """A command to run. at: the change of its folder at which it dies, from 1 on; 0 lets it live.

    after: seconds from that change to its death; said: the file for what it prints.
    """

    arguments: list[str]
    folder: str
    said: str
    at: int = 0
    after: float = 0.0


@dataclass(frozen=True)
class Ended:
    """code: exit code, negative of a signal; changes: of the folder, where it was not killed."""

    code: int
    changes: int
    said: str

    @property
    def was_killed(self) -> bool:
        return self.code == -signal.SIGKILL


class Nursery:
    """Runs commands, one after the other, with the folder they write to watched; used by `nursery`."""

    def __init__(self, process: "subprocess.Popen[str]", said: Path) -> None:
        self._process, self._said = process, said

    def run(self, arguments: Sequence[str], folder: Path, at: int = 0, after: float = 0.0) -> Ended:
        """Runs `openmementos` with these arguments to its end, or to its death."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = Order([*arguments], str(folder), str(self._said), at, after)
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        told = self._process.stdout.readline()
        assert told, "the process that starts others has ended"
        return Ended(**json.loads(told), said=self._said.read_text(errors="replace"))

    def run_killed(
        self, arguments: Sequence[str], folder: Path, changes: int, chance: random.Random
    ) -> Ended:
        """Runs a command that dies at a moment chosen by chance among so many changes of its folder."""
        after = chance.choice([0.0, chance.uniform(0, _MOST_SECONDS_AFTER)])
        return self.run(arguments, folder, chance.randint(1, changes), after)


@contextmanager
def nursery(said: Path, environment: Mapping[str, str]) -> Iterator[Nursery]:
    """Starts the process that commands are forked from. said: a file for what they print."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.kills"],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Nursery(process, said)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _import_what_commands_need() -> None:
    from pipeline.commands.build import settle_prefect
    from pipeline.commands.flow_run import quiet_libraries

    settle_prefect(verbose=False)
    quiet_libraries()
    import pipeline.cli
    import pipeline.compare
    import pipeline.recheck
    import pipeline.report.website  # noqa: F401


def _serve() -> None:
    _import_what_commands_need()
    for line in sys.stdin:
        order = Order(**json.loads(line))
        answer, told = os.pipe()
        child = os.fork()
        if not child:
            os.close(answer)
            _obey(order, told)
        os.close(told)
        with os.fdopen(answer) as file:
            changes = file.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"code": code, "changes": int(changes or 0)}), flush=True)


def _obey(order: Order, told: int) -> None:
    from pipeline.cli import app

    said = os.open(order.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    watch = _Watch(order)
    code = 1
    try:
        app(order.arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(told, str(watch.changes).encode())
        os._exit(code)


class _Watch:
    """Counts the changes of a folder from now on, and ends the process at one of them."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.changes = 0
        sys.addaudithook(self._saw)

    def _saw(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        else:
            writes = event in _CHANGES
        if not writes or not self._is_below(arguments[0]):
            return
        self.changes += 1
        if self.changes == self._order.at:
            if self._order.after:
                threading.Timer(self._order.after, self._die).start()
            else:
                self._die()

    def _is_below(self, path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(self._order.folder)

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _serve()
