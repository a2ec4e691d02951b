"""`openmementos verdicts`: what a person thinks of a run's mementos, and how far the judge agrees."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipeline.commands import options
from pipeline.commands.console import messages, output
from pipeline.inspection import find_run

if TYPE_CHECKING:
    from pipeline.verdicts import Agreement


def verdicts(
    run: options.Run,
    to: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File for the verdicts with their texts: .csv, .jsonl or .parquet."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show how far the judge agrees with the verdicts that were given in `openmementos view`; export them.

    What the judge and the checks let pass is set against what the person finds good. A verdict about a
    memento that the run has replaced since is outdated and not counted. Kappa is the agreement beyond chance:
    1 where both always say the same, 0 where they agree no more often than two who do not look.

    Examples:

      openmementos verdicts my-mementos

      openmementos verdicts my-mementos --output verdicts.csv

      openmementos verdicts data/runs/my-mementos --json
    """
    # Not above: every other command would wait for it, too.
    from pipeline.verdicts import agreement_of, export_verdicts, read_verdicts

    folder = find_run(run, options.RUNS)
    if to is not None:
        exported = export_verdicts(folder, to)
        messages().print(f"{to}: {_verdicts(exported)}")
    found = agreement_of(folder, read_verdicts(folder))
    if as_json:
        json.dump({"run": str(folder.root), **found.as_json()}, sys.stdout, indent=2, ensure_ascii=False)
        print()
        return
    console = output()
    if not found.counted + found.outdated:
        console.print(f"no verdicts yet: give them in `openmementos view {run}`", markup=False)
        return
    good = found.passed_good + found.short_good
    outdated = f", {found.outdated:,} more outdated" if found.outdated else ""
    console.print(f"{_verdicts(found.counted)}: {good:,} good, {found.counted - good:,} bad{outdated}")
    console.print(_table(found))
    if found.share is not None:
        kappa = (
            f"{found.kappa:.2f}" if found.kappa is not None else "not defined, as both only said one thing"
        )
        console.print(f"agreement: {found.share:.1%}; Cohen's kappa: {kappa}")


def _verdicts(number: int) -> str:
    return f"{number:,} verdict{'s' * (number != 1)}"


def _table(found: "Agreement") -> Table:
    table = Table(box=None, header_style="bold")
    for name in ("", "person: good", "person: bad"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("judge: passed", f"{found.passed_good:,}", f"{found.passed_bad:,}")
    table.add_row("judge: did not pass", f"{found.short_good:,}", f"{found.short_bad:,}")
    return table
