"""Where and how a command prints."""

import os
import sys

import typer
from rich.console import Console
from rich.text import Text

_WIDTH_OF_A_PIPE = 160


def output() -> Console:
    """Standard output: colours on a terminal (none where NO_COLOR is set), wide plain lines in a pipe."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_WIDTH_OF_A_PIPE if piped else None, highlight=False)


def given_up(console: Console, error: Exception | str) -> typer.Exit:
    """Prints the error as it stands (square brackets are no markup) and gives the exit to raise."""
    console.print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
    return typer.Exit(1)
