"""`openmementos report`: a run as a folder of pages, which opens from disk and can be given away."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.commands import options
from pipeline.commands.console import messages
from pipeline.commands.step_progress import shown_steps
from pipeline.config_file import load_config
from pipeline.inspection import find_run
from pipeline.run.store import RunFolder


def report(
    run: options.Run,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the pages; default: report in the run's.")
    ] = None,
    max_traces: Annotated[
        int | None,
        typer.Option("--max-traces", min=1, help="Traces with a page; default: report.max_traces."),
    ] = None,
    compare: options.Beside = None,
    no_compare: Annotated[bool, typer.Option("--no-compare", help="Put no run beside it any more.")] = False,
    as_json: options.Json = False,
) -> None:
    """Write the pages of a run: overview, table of traces, a page for each trace.

    They open from disk by a double click on index.html, need no network and nothing installed, and may be
    copied anywhere. Works while the run is going on, and shows how far it is. What has not changed since the
    last time is not written again. A build ends with it.

    Examples:

      openmementos report openmementos-sample

      openmementos report before --compare after

      openmementos report data/runs/my-mementos --output for-a-colleague --max-traces 500
    """
    folder = find_run(run, options.RUNS)
    other = None if compare is None else find_run(compare, options.RUNS)
    index = write_report(
        folder,
        messages(),
        output=output,
        max_traces=max_traces,
        other=other,
        compare=not no_compare,
        otherwise=", or name a new or empty folder with --output",
    )
    if as_json:
        json.dump({"index": str(index), "address": index.as_uri()}, sys.stdout, indent=2)
        print()
    else:
        print(index.as_uri())


def write_report(
    run: RunFolder,
    console: Console,
    *,
    output: Path | None = None,
    max_traces: int | None = None,
    other: RunFolder | None = None,
    compare: bool = True,
    otherwise: str = "",
) -> Path:
    """The first page of a run's site, written as far as it was not there; progress goes to the console.

    otherwise: as in `write_site`.
    """
    # Not above: matplotlib and Pygments take a second, which every other command would wait for, too.
    from pipeline.report.website import write_site

    config = options.config_of(run, "build it to have a report")
    overrides = [] if max_traces is None else [f"report.max_traces={max_traces}"]
    build = load_config(config, overrides)
    folder = (output or run.report).absolute()
    with shown_steps(console) as on_progress:

        def tell(done: int, total: int) -> None:
            on_progress("write pages", done, total)

        site = write_site(run, build, folder, tell, other=other, compare=compare, otherwise=otherwise)
    return site.index
