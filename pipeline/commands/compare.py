"""`openmementos compare`: two runs side by side over the traces that both have."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands import options
from pipeline.commands.console import output
from pipeline.config import MementosConfig
from pipeline.inspection import find_run
from pipeline.run.store import RunFolder


def compare(
    run_a: options.Run,
    run_b: Annotated[str, typer.Argument(help="The run, or recheck of a run, to compare it with.")],
    top: Annotated[int, typer.Option("--top", "-n", min=0, help="Most mementos to show.")] = 5,
    threshold: Annotated[
        int, typer.Option(min=0, max=10, help="Judge's points that pass, for both runs.")
    ] = MementosConfig().threshold,
    as_json: options.Json = False,
) -> None:
    """Compare two runs: pass rates, judge's points, compression, rounds and failed checks by domain.

    Only traces that both runs have finished are counted, with those that publish.min_score or only_passed
    keep out of a dataset; how many these are is said. Differences are B minus A. How far the judges agree is
    counted over blocks of the same trace and span; the mementos that differ most are those of such blocks
    whose points, then sizes, are furthest apart.

    Examples:

      openmementos compare before after

      openmementos compare data/runs/before data/runs/after --top 20 --json
    """
    # Not above: every other command would wait for it, too.
    from pipeline.compare import as_json as comparison_as_json
    from pipeline.compare import compare_runs, tables

    before, after = _found(run_a), _found(run_b)
    found = compare_runs(before, after, threshold=threshold, top=top)
    if as_json:
        told = {"a": str(before.root), "b": str(after.root), "threshold": threshold}
        json.dump({**told, **comparison_as_json(found)}, sys.stdout, indent=2, ensure_ascii=False)
        print()
    else:
        output().print(tables(found))


def _found(name: str) -> RunFolder:
    """The recheck or the run in a folder of that path, or of that name under data/runs. Raises NotThere."""
    from pipeline.recheck.folder import is_recheck

    rechecks = (RunFolder(root) for root in (Path(name), options.RUNS / name))
    return next(filter(is_recheck, rechecks), None) or find_run(name, options.RUNS)
