"""`openmementos recheck`: a run's mementos judged again, and how the two judges agree."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from pipeline.commands import options
from pipeline.commands.build import usage_text
from pipeline.commands.console import messages, output, stop_on_signals
from pipeline.commands.step_progress import shown_steps
from pipeline.inspection import find_run
from pipeline.run.outcomes import RejectReason, most_often


def recheck(
    run: options.Run,
    model: options.ModelName = None,
    endpoint: options.Endpoint = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML file instead of the config that the run was built with."),
    ] = None,
    overrides: options.Set = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="Most traces to judge, chosen by chance.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=0, help="Most mementos to show.")] = 5,
    as_json: options.Json = False,
) -> None:
    """Judge a finished run's mementos again: another model, changed prompts, more judges. None is rewritten.

    The verdicts go into RUN/rechecks/, one folder per model and settings; the run's own results stay as they
    are. A is the run, B the recheck. Of each memento the round that was kept is judged. What was answered
    once is not asked again, so a recheck that was stopped goes on, and a higher --limit asks about new traces
    only; judges are told apart by the model's name, not by where it runs. Exit code 0: all are judged, or
    cannot be for a stated reason; 1: it could not be done; 3: some traces failed and wait for the next time.

    Examples:

      openmementos recheck my-mementos --model Qwen/Qwen3-235B-A22B --endpoint http://gpu1:8000/v1 --limit 200

      openmementos recheck my-mementos --set mementos.judges.number=3

      openmementos recheck my-mementos --json --top 20

      openmementos compare my-mementos/rechecks/ONE my-mementos/rechecks/OTHER
    """
    # Not above: every other command would wait for it, too.
    from pipeline.compare import as_json as comparison_as_json
    from pipeline.compare import compare_runs, tables
    from pipeline.files.atomic import write_json
    from pipeline.llm.serving import model_name
    from pipeline.recheck import RECHECK
    from pipeline.recheck import recheck as judge_again
    from pipeline.run.totals import cost_of

    console = messages()
    folder = find_run(run, options.RUNS)
    described = config or options.config_of(folder, "name the YAML file it was built with: --config")
    build = options.build_config(described, None, None, endpoint, model, overrides)
    # As `build`: a scheduler's stop ends the work as Ctrl-C does, with the engine stopped and replies kept.
    stop_on_signals()
    try:
        with shown_steps(console) as progress:
            done = judge_again(folder, build, limit=limit, tell=console.print, progress=progress)
    except KeyboardInterrupt:
        console.print("stopped; verdicts so far are kept, run the same command to go on")
        raise typer.Exit(130) from None
    found = compare_runs(folder, done.folder, threshold=build.mementos.threshold, top=top)
    told = {
        "a": str(folder.root),
        "b": str(done.folder.root),
        "model": model_name(build.llm),
        "prompts": RECHECK.prompts(build),
        "judges": build.mementos.judges.model_dump(mode="json"),
        "threshold": build.mementos.threshold,
        "judged": {
            "traces": done.traces,
            "done": done.done,
            "rejected": done.rejected,
            "failed": done.failed,
        },
        "usage": {purpose: dict(used) for purpose, used in done.usage.items()},
        "cost": cost_of(build, done.usage),
        **comparison_as_json(found),
    }
    write_json(told, done.folder.root / "recheck.json")
    if as_json:
        json.dump(told, sys.stdout, indent=2, ensure_ascii=False)
        print()
    else:
        compared = [tables(found)] if done.done else []
        output().print(Text("\n".join(_head(told))), *compared, Text("\n".join(_end(told))), sep="\n")
    if done.failed:
        console.print(
            f"{done.failed} traces failed, {most_often(done.errors)}; see {done.folder.root / 'failed'}, and "
            "run the same command to try them again"
        )
        raise typer.Exit(3)


def _head(told: dict[str, Any]) -> list[str]:
    number = told["judges"]["number"]
    verdicts = f"{number} verdicts each ({told['judges']['combine']})" if number > 1 else "one verdict each"
    return [
        f"A: {told['a']}, as it was judged when it was built",
        f"B: judged again by {told['model']}, {verdicts}, {', '.join(told['prompts'])}",
        "",
    ]


def _end(told: dict[str, Any]) -> list[str]:
    judged = told["judged"]
    lines = [f"judged: {judged['done']:,} of {judged['traces']:,} traces"]
    lines += [f"rejected: {n:,} {RejectReason(reason).text}" for reason, n in judged["rejected"].items()]
    lines += [f"asked to {purpose}: {usage_text(used)}" for purpose, used in told["usage"].items()]
    if told["cost"] is not None:
        lines.append(f"cost: {told['cost']:,.2f}")
    return [*lines, f"folder: {told['b']}"]
