"""`openmementos inspect`: a run's traces, or one trace's blocks, scores, mementos and judge rounds."""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table

from pipeline.commands import options
from pipeline.commands.console import output
from pipeline.config_file import load_config
from pipeline.inspection import (
    FailedJudge,
    TraceLine,
    TraceState,
    failed_table,
    find_run,
    find_trace,
    only_block,
    show,
    table,
    trace_lines,
)
from pipeline.inspection import as_json as story_as_json
from pipeline.inspection import failed_judge as traces_that_failed
from pipeline.records.quality import shortfalls
from pipeline.run.store import RunFolder

T = TypeVar("T")


def inspect(
    run: options.Run,
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
    failed_judge: Annotated[
        bool,
        typer.Option(
            "--failed-judge", help="Only mementos that did not pass their judge, and what they lack."
        ),
    ] = False,
    threshold: Annotated[
        int | None,
        typer.Option(
            min=0, max=10, help="Judge's points that pass; default: mementos.threshold of the run's config."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show the traces of a run, or one of them: blocks, boundary scores, mementos, judge rounds.

    Works while the run is going on, and shows how far a trace has come. Blocks and rounds are counted from 0,
    as in the data and in messages. A memento passes with --threshold or more of the judge's points and no
    finding of the checks but notes; publish.only_passed leaves out traces of which one memento did not.

    Examples:

      openmementos inspect openmementos-sample

      openmementos inspect openmementos-sample --state rejected

      openmementos inspect openmementos-sample --failed-judge

      openmementos inspect data/runs/openmementos-sample TRACE_ID --block 2

      openmementos inspect openmementos-sample TRACE_ID --json
    """
    folder = find_run(run, options.RUNS)
    points = _threshold(folder, threshold) if failed_judge else None
    if trace_id is not None:
        _one(folder, trace_id, block, points, as_json)
        return

    def wanted(line: TraceLine) -> bool:
        return (state is None or line.state is state) and (domain is None or line.domain == domain)

    page = _Page(skip, limit, as_json)
    if points is None:
        lines = filter(wanted, trace_lines(folder))
        page.print(lines, asdict, table, "no such traces")
    else:
        found = (one for one in traces_that_failed(folder, points) if wanted(one.line))
        nothing = f"no such memento: each that is written has {points} points or more, and clean checks"
        page.print(found, FailedJudge.as_json, failed_table, nothing)


def _threshold(run: RunFolder, given: int | None) -> int:
    if given is not None:
        return given
    return load_config(options.config_of(run, "give --threshold")).mementos.threshold


@dataclass(frozen=True)
class _Page:
    """A part of a list, for people or for a program."""

    skip: int
    limit: int
    as_json: bool

    def print(
        self,
        items: Iterable[T],
        as_json: Callable[[T], dict[str, Any]],
        as_table: Callable[[Iterable[T]], Table],
        nothing: str,
    ) -> None:
        """Prints the items of this page. nothing: what people read where there are none."""
        shown = list(islice(items, self.skip, self.skip + self.limit + 1))
        more, shown = len(shown) > self.limit, shown[: self.limit]
        if self.as_json:
            _print_json([as_json(item) for item in shown])
            return
        console = output()
        console.print(as_table(shown) if shown else nothing)
        if more:
            console.print(f"more: --skip {self.skip + self.limit}", style="dim")


def _one(run: RunFolder, trace_id: str, block: int | None, points: int | None, as_json: bool) -> None:
    story = find_trace(run, trace_id)
    blocks = story.blocks if block is None else [only_block(story, block)]
    if points is not None:
        mementos = [one.memento for one in story.blocks if one.memento is not None]
        failed = {short.block for short in shortfalls(mementos, points)}
        blocks = [one for one in blocks if one.number in failed]
    if as_json:
        _print_json(story_as_json(story, blocks))
    else:
        show(output(), story, blocks, whole=block is None and points is None)


def _print_json(value: object) -> None:
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    print()
