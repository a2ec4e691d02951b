"""Prefect's own programs as child processes that never outlive the command that started them."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from pipeline.processes.commands import guarded as guarded_command
from pipeline.processes.commands import python_module


@contextmanager
def guarded(
    command: Sequence[str], settings: Mapping[str, str], output: IO[bytes] | int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The guard of a running `python -m prefect COMMAND`; the program has ended when the block ends.

    settings: environment variables on top of this process's. output: where the program's standard output
    goes, as for subprocess. Ctrl-C reaches this process only, which then decides in what order things end.
    """
    process = subprocess.Popen(
        guarded_command(python_module("prefect", *command)),
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,  # its end tells the guard that this process is gone
        stdout=output,
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait()
