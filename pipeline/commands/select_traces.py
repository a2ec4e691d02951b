"""`openmementos select`: which rows of a source a build would take, and why not the others."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipeline.commands import options
from pipeline.commands.console import messages, output
from pipeline.commands.step_progress import shown_steps
from pipeline.run.outcomes import RejectReason

if TYPE_CHECKING:
    from pipeline.report.selection import SelectionCounts

Figure = Annotated[
    Path | None, typer.Option("--figure", help="PNG to draw; default: selection.png in the run folder.")
]


def select(
    config: options.Config,
    source: options.Source = None,
    limit: options.Limit = None,
    run_dir: options.RunDir = None,
    overrides: options.Set = None,
    figure: Figure = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell; write no shards of the chosen traces.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Choose a build's traces: rows taken by domain, rows left out by reason, and a picture of it.

    The source is read for real, and what is found out stays in the run folder: another selection from the
    same files takes seconds, and the build does not read them again. No model is asked.

    Examples:

      openmementos select --config sample.yaml --dry-run

      openmementos select -c my.yaml --set select.decontaminate=[aime24.parquet] --dry-run
    """
    # Not above: they take a second, which every other command would wait for, too.
    from pipeline.ingest import choose, ingest, source_told
    from pipeline.report.selection import count_selection, draw_selection
    from pipeline.run.repair import repair
    from pipeline.stages.registry import INGEST

    console = messages()
    build = options.build_config(config, source, limit, None, None, overrides)
    run = options.made_run_folder(build, run_dir)
    if told := source_told(build):
        console.print(told, highlight=False)
    try:
        with run.lock(), shown_steps(console) as on_progress:
            repair(run, [INGEST], lambda step: on_progress(step, 0, 0))
            counts = count_selection(
                choose(build, run, lambda done, total: on_progress("read rows", done, total))
            )
            if not dry_run:
                ingest(build, run, lambda done, total: on_progress("write chosen traces", done, total))
    except KeyboardInterrupt:
        console.print("stopped; files that are read stay read, run the same command to go on")
        raise typer.Exit(130) from None
    picture = figure or run.root / "selection.png"
    draw_selection(counts, picture)
    if as_json:
        json.dump(_as_json(counts, picture), sys.stdout, indent=2)
        print()
        return
    output().print(_table(counts))
    for example in counts.examples:
        told = f"{RejectReason(example.reason).text}: {example.text}"
        output().print(told, markup=False, highlight=False)
    if counts.barren:
        more = f" and {len(counts.barren) - 3} more" if len(counts.barren) > 3 else ""
        output().print(
            f"no row can be taken of {', '.join(counts.barren[:3])}{more}: if its columns or marks have "
            "other names, set source.columns, source.layout or source.think",
            markup=False,
            highlight=False,
        )
    console.print(f"drawn in {picture}")
    if dry_run:
        console.print("a dry run: no shards of the chosen traces were written")


def _as_json(counts: "SelectionCounts", picture: Path) -> dict[str, object]:
    return {
        "rows": counts.rows,
        "taken": counts.rows_taken,
        "taken_by_domain": counts.taken,
        "left_out": {reason.value: rows for reason, rows in counts.left_out.items()},
        "examples": [asdict(example) for example in counts.examples],
        "files_without_a_trace": list(counts.barren),
        "figure": str(picture),
    }


def _table(counts: "SelectionCounts") -> Table:
    table = Table(show_header=False)
    table.add_column()
    for _ in range(2):
        table.add_column(justify="right")

    def add(name: str, rows: int) -> None:
        table.add_row(name, f"{rows:,}", f"{rows / counts.rows:.1%}" if counts.rows else "")

    add("rows in the source", counts.rows)
    table.add_section()
    for reason, rows in counts.left_out.items():
        add(f"- {reason.text}", rows)
    table.add_section()
    add("taken", counts.rows_taken)
    for domain, rows in counts.taken.items():
        add(f"  {domain or 'no domain'}", rows)
    return table
