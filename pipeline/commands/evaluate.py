"""`openmementos evaluate`: models asked the problems of benchmarks, with and without finished blocks."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markdown import Markdown

from pipeline.commands import options
from pipeline.commands.console import messages, output
from pipeline.commands.flow_run import flow_run, quiet_libraries
from pipeline.config_file import read_config, with_overrides
from pipeline.evaluate.config import EvaluateConfig
from pipeline.packaged_files import find_config
from pipeline.run.outcomes import most_often

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL]...",
        help="Folder, Hub model or http://…/v1#NAME (several endpoints of it: URL,URL#NAME); LABEL=MODEL "
        "calls it so in tables.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML file that describes the evaluation, or one that comes along."),
]


def evaluate(
    models: Models = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            "-t",
            help="Names, separated by commas: math500, gym:NAME, FILE…; a wrong one lists all. FILE:KIND "
            "says what a file's answers are: math, words, choice, code, or my_module.my_judge, a function of "
            "an answer and its row; else that is found from its references, and said.",
        ),
    ] = None,
    modes: Annotated[
        str | None,
        typer.Option("--modes", help="Of vanilla, memento, restart, separated by commas; default: all."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="Most problems of a task.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", "-k", min=1, help="Responses to each problem.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            min=0,
            help="0 takes the likeliest token each time; default: as the model's makers recommend.",
        ),
    ] = None,
    new_tokens: Annotated[
        int | None, typer.Option("--new-tokens", min=1, help="Most tokens of a response.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            help="Data set whose mementos are judged: what each trace takes of a KV cache, and whether a "
            "MODEL reaches its answer from them.",
        ),
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option("--probe", help="Data set whose blocks get a code that is read from mementos' entries."),
    ] = None,
    judge_only: Annotated[
        bool,
        typer.Option(
            "--judge-only", help="Judge the responses that are there again; no model is asked or loaded."
        ),
    ] = False,
    config: Config = None,
    run_dir: options.RunDir = None,
    overrides: options.Set = None,
    as_json: options.Json = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show Prefect's own log, and tracebacks, too.")
    ] = False,
) -> None:
    """Ask models benchmark problems: accuracy, form and KV cache, with finished blocks and without.

    vanilla keeps every token, memento drops a block once its memento is written, restart also computes the
    memento again without its block. What an earlier run in the same folder has written is not written again;
    results.md, results.json, figures and generations.parquet are of the models and tasks named this time.
    Exit code 0: done; 1: it could not be done; 3: some responses are missing, or could not be judged, and
    wait for the next run, or nearly all ended in a way that is not known; 4: a claim of the config does not
    hold.

    Examples:

      openmementos evaluate data/runs/register-machine-hidden/memento/model --tasks register-machine:6x6

      openmementos evaluate me/model Qwen/Qwen3-8B -t aime25,math500 --modes vanilla -k 8 --temperature 0.6

      openmementos evaluate --dataset data/runs/my-mementos

      openmementos evaluate http://gpu1:8000/v1 --dataset data/runs/my-mementos --limit 500

      openmementos evaluate models/a --probe data/runs/my-mementos

      openmementos evaluate http://127.0.0.1:8000/v1 --tasks gpqa-diamond --set llm.max_in_flight=128

      openmementos evaluate models/a --tasks math500 --judge-only

      openmementos evaluate "before=models/a" "after=models/b" -t my-problems.jsonl:words --limit 50
    """
    console = messages()
    settings = _settings(
        config,
        {
            "models": models,
            "tasks": tasks and tasks.split(","),
            "modes": modes and modes.split(","),
            "limit": limit,
            "sampling.samples": samples,
            "sampling.temperature": temperature,
            "sampling.new_tokens": new_tokens,
            "dataset.path": dataset,
            "probe.dataset": probe,
        },
        overrides or [],
    )
    run = options.made_run_folder(settings, run_dir)
    quiet_libraries()
    # Not above: it brings PyTorch, which takes seconds that no other command need wait.
    from pipeline.evaluate.evaluation import check, refuse_other_folder
    from pipeline.evaluate.report import unknown_ends_text

    # Before Prefect is started, and the log of another run emptied.
    refuse_other_folder(run)
    check(settings, judge_only=judge_only)
    with flow_run(run, console, verbose=verbose):
        from flows.evaluate import evaluate as flow

        report = flow(evaluation=settings, run_dir=run.root, judge_only=judge_only)
    if as_json:
        json.dump(report, sys.stdout, indent=2)
        print()
    else:
        output().print(Markdown((run.root / "results.md").read_text("utf-8")))
        output().print(f"folder: {run.root}")
    if report["missing"] or report["judge_failed"]:
        console.print(
            f"some responses are missing or could not be judged, {most_often(_reasons(report))}; see "
            "results.md, and run the same command to try them again"
        )
        raise typer.Exit(3)
    if unknown := report["unknown_ends"]:
        for label, ends in unknown.items():
            console.print(f"{label}: {unknown_ends_text(ends)}")
        raise typer.Exit(3)
    if failing := [claim for claim in report["claims"] if not claim["holds"]]:
        console.print(f"{len(failing)} of {len(report['claims'])} claims do not hold, see results.md")
        raise typer.Exit(4)


def _reasons(report: dict[str, Any]) -> Counter[str]:
    """How often each thing was why a response is missing or not judged."""
    reasons: Counter[str] = Counter()
    for parts in report["missing"].values():
        for counts in parts.values():
            reasons.update(counts)
    for part in report["judge_failed"]:
        reasons.update(part["faults"])
    return reasons


def _settings(config: Path | None, given: dict[str, Any], overrides: list[str]) -> EvaluateConfig:
    """The config of a file, options over it, --set over both. Raises ConfigError."""
    told = [f"{key}={json.dumps(value)}" for key, value in given.items() if value not in (None, [])]
    if config is None:
        return with_overrides({}, "options", EvaluateConfig, [*told, *overrides])
    found, line = find_config(config)
    if line:
        messages().print(line)
    return read_config(found, EvaluateConfig, [*told, *overrides])
