"""`openmementos inspect`: a run's traces, or one trace's blocks, scores, mementos and judge rounds."""

import json
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands import options
from pipeline.commands.console import output
from pipeline.inspection import (
    TraceState,
    find_run,
    find_trace,
    only_block,
    show,
    table,
    trace_lines,
)
from pipeline.inspection import as_json as story_as_json
from pipeline.store import RunFolder

_RUNS = Path("data/runs")


def inspect(
    run: Annotated[str, typer.Argument(help="A run folder, or its name under data/runs.")],
    trace_id: Annotated[
        str | None, typer.Argument(help="A trace's id, or as much of its beginning as no other has.")
    ] = None,
    block: Annotated[
        int | None, typer.Option("--block", "-b", min=0, help="Only this block, counted from 0.")
    ] = None,
    state: Annotated[TraceState | None, typer.Option(help="Only traces that stand so.")] = None,
    domain: Annotated[str | None, typer.Option(help="Only traces of this domain.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most traces to list.")] = 50,
    skip: Annotated[int, typer.Option(min=0, help="Traces to leave out at the start of the list.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Show the traces of a run, or one of them: blocks, boundary scores, mementos, judge rounds.

    Works while the run is going on, and shows how far a trace has come. Blocks and rounds are counted from 0,
    as in the data and in messages.

    Examples:

      openmementos inspect openmementos-sample

      openmementos inspect openmementos-sample --state rejected

      openmementos inspect data/runs/openmementos-sample TRACE_ID --block 2

      openmementos inspect openmementos-sample TRACE_ID --json
    """
    folder = find_run(run, _RUNS)
    if trace_id is None:
        _list(folder, state, domain, skip, limit, as_json)
    else:
        _one(folder, trace_id, block, as_json)


def _list(
    run: RunFolder, state: TraceState | None, domain: str | None, skip: int, limit: int, as_json: bool
) -> None:
    chosen = (
        line
        for line in trace_lines(run)
        if (state is None or line.state is state) and (domain is None or line.domain == domain)
    )
    lines = list(islice(chosen, skip, skip + limit + 1))
    more, lines = len(lines) > limit, lines[:limit]
    if as_json:
        _print_json([asdict(line) for line in lines])
        return
    console = output()
    console.print(table(lines) if lines else "no such traces")
    if more:
        console.print(f"more: --skip {skip + limit}", style="dim")


def _one(run: RunFolder, trace_id: str, block: int | None, as_json: bool) -> None:
    story = find_trace(run, trace_id)
    blocks = story.blocks if block is None else [only_block(story, block)]
    if as_json:
        _print_json(story_as_json(story, blocks))
    else:
        show(output(), story, blocks, whole=block is None)


def _print_json(value: object) -> None:
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    print()
