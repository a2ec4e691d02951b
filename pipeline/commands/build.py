"""`openmementos build`: the whole flow, with its progress while it works and a summary at the end."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pipeline.commands import options
from pipeline.commands.console import messages, output, stop_on_signals
from pipeline.commands.prefect_server import prefect_for_a_run
from pipeline.commands.progress import shown_progress
from pipeline.llm.deviations import Deviation
from pipeline.run.outcomes import RejectReason
from pipeline.run.reasons import Example


def build(
    config: options.Config,
    source: options.Source = None,
    limit: options.Limit = None,
    endpoint: options.Endpoint = None,
    model: options.ModelName = None,
    run_dir: options.RunDir = None,
    overrides: options.Set = None,
    as_json: options.Json = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show Prefect's own log, and tracebacks, too.")
    ] = False,
) -> None:
    """Build a Memento dataset: read, split, score, cut, write mementos, check, publish to a folder.

    What an earlier run in the same folder has done is not done again. Exit code 0: all traces done or
    rejected for a stated reason; 1: it could not be done, or no trace is done; 3: some traces failed and
    wait for the next run.

    Examples:

      openmementos build --config sample.yaml

      openmementos build -c sample.yaml --source my-traces.parquet --limit 100

      openmementos build -c teacher.yaml -s my-traces.parquet --set publish.only_passed=true

      openmementos build -c openthoughts3.yaml -e http://gpu1:8000/v1 -e http://gpu2:8000/v1
    """
    # Not above: it brings numba, which every other command would wait for, too.
    from pipeline.run.totals import NothingDone

    # Progress goes to stderr, so that --json leaves stdout to the program that reads it.
    console = messages()
    described = options.build_config(config, source, limit, endpoint, model, overrides)
    run = options.made_run_folder(described, run_dir)
    settle_prefect(verbose)
    # `kill` and a scheduler's stop end the run as Ctrl-C does: engine and server are stopped, work is kept.
    stop_on_signals()
    try:
        with shown_progress(run, console) as tell, prefect_for_a_run(tell):
            tell("loading Prefect")
            from flows.dataset import dataset

            totals = dataset(build=described, run_dir=run.root)
    except KeyboardInterrupt:
        console.print(f"stopped; what is done is kept in {run.root}, run the same command to go on")
        raise typer.Exit(130) from None
    except NothingDone as failure:
        _print_totals(failure.totals.as_json(), as_json)
        raise
    _print_totals(totals, as_json)
    if totals["failed"]:
        console.print(
            f"{totals['shortfall']}; see {run.root / 'failed'}, and run the same command to try them again"
        )
        raise typer.Exit(3)


def _print_totals(totals: dict[str, Any], as_json: bool) -> None:
    if as_json:
        json.dump(totals, sys.stdout, indent=2)
        print()
    else:
        output().print(summary(totals))


def summary(totals: dict[str, Any]) -> Table:
    """A run's totals as a small table."""
    table = Table(show_header=False, title=f"{totals['name']}", title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    table.add_row("traces in", f"{totals['traces_in']:,}")
    table.add_row("done", f"{totals['done']:,}")
    if totals["not_chosen"]:
        table.add_row("not chosen", f"{totals['not_chosen']:,} {RejectReason.NOT_CHOSEN.text}")
    for reason, count in sorted(totals["rejected"].items(), key=lambda item: -item[1]):
        table.add_row("rejected", f"{count:,} {RejectReason(reason).text}")
        for example in totals["examples"]:
            if example["reason"] == reason:
                table.add_row("", Text(Example(**example).text, "dim"))
    if totals["end_tokens_taken_off"]:
        table.add_row("shortened", f"{totals['end_tokens_taken_off']:,} answers by a tokenizer's end marker")
    table.add_row("failed", f"{totals['failed']:,}")
    table.add_row("blocks", f"{totals['blocks']:,}")
    if totals["oversized_blocks"]:
        table.add_row("too long", f"{totals['oversized_blocks']:,} blocks over partition.max_tokens")
    table.add_row("mementos", f"{totals['mementos']:,}{_passed(totals)}")
    if totals["compression"]:
        table.add_row(
            "compression",
            f"{totals['compression']:.1f}× "
            f"({totals['block_tokens']:,} → {totals['memento_tokens']:,} tokens)",
        )
    for purpose, used in totals["usage"].items():
        table.add_row(f"asked to {purpose}", usage_text(used))
    for name, count in totals["taken"].items():
        table.add_row("taken", f"{count:,} replies {Deviation(name).text}")
    if totals["cost"] is not None:
        table.add_row("cost", f"{totals['cost']:,.2f}")
    table.add_row("time", f"{totals['seconds']:,.0f} s")
    table.add_row("folder", Text(totals["folder"]))
    table.add_row("report", Text(Path(totals["report"]).as_uri()))
    return table


def _passed(totals: dict[str, Any]) -> str:
    return f" ({totals['passed_first_round']:,} passed in the first round, {totals['passed']:,} in any)"


def usage_text(used: Mapping[str, int]) -> str:
    """Requests and tokens of one purpose, in words."""
    text = (
        f"{used['requests']:,} requests, {used['prompt_tokens']:,} prompt tokens "
        f"({used['cached_tokens']:,} cached), {used['completion_tokens']:,} generated"
    )
    notes = (
        ("replies_from_disk", "from disk"),
        ("retries", "retries"),
        ("invalid_replies", "unusable replies"),
        ("paid_before_prompt_tokens", "prompt tokens paid before"),
        ("paid_before_completion_tokens", "generated tokens paid before"),
    )
    return text + "".join(f", {used[key]:,} {words}" for key, words in notes if used[key])


def settle_prefect(verbose: bool) -> None:
    """Settings that Prefect reads when it is imported: no reports to its makers, no log unless asked for."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    if not verbose:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
