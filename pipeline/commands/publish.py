"""`openmementos publish`: a finished run's dataset onto the Hub."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.filesize import decimal
from rich.table import Table

from pipeline.commands import options
from pipeline.commands.console import messages, output
from pipeline.inspection import find_run
from pipeline.publish.release import Release, release
from pipeline.run.store import RunFolder


def publish(
    run: options.Run,
    to: Annotated[str, typer.Option("--to", help="Dataset on the Hub: organisation/name.")],
    private: Annotated[bool, typer.Option("--private", help="Private, where it has to be created.")] = False,
    tag: Annotated[
        str | None, typer.Option("--tag", help="Tag of the release, as v1; auto for the next of v1, v2, ….")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    as_json: options.Json = False,
) -> None:
    """Release a run's dataset on the Hub: uploaded to a pull request, read back, compared, merged, tagged.

    Main changes at once or not at all; an interrupted release goes on when the command is given again.
    Nothing new: nothing is committed. The token comes from HF_TOKEN or `hf auth login`.

    Examples:

      openmementos publish openmementos-sample --to my-org/mementos --dry-run

      openmementos publish openmementos-sample --to my-org/mementos --private --tag v1
    """
    folder = find_run(run, options.RUNS)
    console = messages()
    _warn_of_failed(folder, console.print)

    def show(planned: Release) -> None:
        if not as_json:
            output().print(_changes(planned))

    with folder.lock(otherwise=""):
        done = release(folder, to, private=private, tag=tag, dry_run=dry_run, tell=console.print, show=show)
    if as_json:
        json.dump(done.as_json(), sys.stdout, indent=2)
        print()
    elif dry_run:
        console.print("a dry run: nothing was changed")
    else:
        output().print(f"{done.url}/tree/{done.tag}" if done.tag else done.url, soft_wrap=True)


def _warn_of_failed(run: RunFolder, tell: Any) -> None:
    try:
        failed = json.loads(run.totals.read_text(encoding="utf-8"))["failed"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return  # it only warns; the next build writes it anew
    if failed:
        tell(f"{failed} traces of this run failed and are not in it; build again to try them")


def _changes(planned: Release) -> Table:
    rows = planned.rows
    title = f"{rows.rows:,} rows: {rows.new:,} new, {rows.gone:,} gone, {rows.rewritten:,} rewritten"
    upload = sum(change.after for change in planned.files if change.after is not None)
    total = f"{len(planned.files):,} files change; {decimal(upload)} to upload"
    table = Table(title=title, title_justify="left", caption=total, caption_justify="left")
    table.add_column("file")
    table.add_column("change")
    table.add_column("published", justify="right")
    table.add_column("now", justify="right")
    for change in planned.files:
        sizes = [decimal(size) if size is not None else "" for size in (change.before, change.after)]
        table.add_row(change.path, change.kind, *sizes)
    return table
