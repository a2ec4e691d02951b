"""Where and how a command prints, and how it ends where something goes wrong."""

import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import ParamSpec

import typer
from rich.console import Console
from rich.text import Text

P = ParamSpec("P")
_WIDTH_OF_A_PIPE = 160
# What Typer itself ends a command by: an exit code, a wrong option, a reader of the output that has left.
_FOR_TYPER = (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError)


def output() -> Console:
    """Standard output: colours on a terminal (none where NO_COLOR is set), wide plain lines in a pipe."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_WIDTH_OF_A_PIPE if piped else None, highlight=False)


def messages(*, stderr: bool = True) -> Console:
    """For lines that people read: printed as they stand, square brackets too, in one piece however long."""
    return Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True)


def stop_on_signals() -> None:
    """From now on Ctrl-C, SIGTERM as schedulers send it, or a closed terminal raises KeyboardInterrupt, once.

    While the command then stops in order, a second one is answered by a line, and a third ends the process at
    once with exit code 130, whatever it is doing: what is done is kept in any case, and what it has started
    ends with it. SIGTERM is set, too, since a shell's background jobs start with SIGINT ignored; a closed
    terminal means nothing to what was started by nohup.
    """
    times = 0

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal times
        times += 1
        if times == 1:
            raise KeyboardInterrupt
        line = b"stopping already; once more ends it at once\n"
        if times > 2:
            line = b"ended at once; what is done is kept, run the same command to go on\n"
        # Not by a console, which may be in the middle of a line. A closed terminal reads nothing.
        with suppress(OSError):
            os.write(2, line)
        if times > 2:
            os._exit(130)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, stop)


def with_plain_errors(command: Callable[P, None]) -> Callable[P, None]:
    """The command, which any error ends with exit code 1 and one message that begins with "error:".

    The traceback is shown only where the command has a --verbose and it is given.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except _FOR_TYPER:
            raise
        except Exception as error:
            if kwargs.get("verbose"):
                traceback.print_exception(error)
            messages().print(Text.assemble(("error: ", "bold red"), _told(error)))
            raise typer.Exit(1) from None

    return run


def _told(error: Exception) -> str:
    """The message; the kind of error before it where it is none of our own, which say what to do."""
    ours = type(error).__module__.partition(".")[0] in ("pipeline", "flows")
    return str(error) if ours else f"{type(error).__name__}: {error}"
