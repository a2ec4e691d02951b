"""Command lines of child processes: Python modules that no other file can stand in for."""

import sys
from collections.abc import Sequence


def python_module(name: str, *arguments: str) -> list[str]:
    """The command that runs an installed module with this interpreter.

    Never its file: Python puts a script's folder first on the path, where a neighbour may have the name of a
    standard module. -P keeps the current folder off the path for the same reason: it is the user's.
    """
    return [sys.executable, "-P", "-m", name, *arguments]


def guarded(command: Sequence[str]) -> list[str]:
    """The command that runs another one under the guard, which ends it when its own stdin ends."""
    return python_module("pipeline.processes.end_with_parent", "--", *command)
