"""`openmementos sft`: both stages of training, with what happens told line by line."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from pipeline.commands import options
from pipeline.commands.console import messages, output
from pipeline.commands.flow_run import flow_run, quiet_libraries
from pipeline.config_file import read_config
from pipeline.packaged_files import find_config
from pipeline.run.store import RunFolder
from pipeline.sft.config import SftConfig

if TYPE_CHECKING:
    from pipeline.sft.estimate import Estimate

DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Tell steps, memory and hours from the tokenized rows; train nothing."),
]


def sft(
    config: options.Config,
    run_dir: options.RunDir = None,
    overrides: options.Set = None,
    dry_run: DryRun = False,
    as_json: options.Json = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show Prefect's own log, and tracebacks, too.")
    ] = False,
) -> None:
    """Train a model on mementos: full attention first, then attention that forgets finished blocks.

    From a published folder, a data set on the Hub, or one that is computed. What an earlier run in the same
    folder has done is not done again; one that was killed goes on from its last checkpoint. The model is in
    RUN/memento/model. Exit code 0: trained; 1: it could not be done.

    Examples:

      openmementos sft --config sft-register-machine.yaml

      openmementos sft -c sft-qwen3-8b.yaml --dry-run

      openmementos sft -c sft-sample.yaml --set data.dataset=data/runs/openmementos-sample

      openmementos sft -c sft-qwen3-8b.yaml --set push_to=me/my-memento-model
    """
    console = messages()
    found, told = find_config(config)
    if told:
        console.print(told)
    settings = read_config(found, SftConfig, overrides or [])
    run = options.made_run_folder(settings, run_dir)
    quiet_libraries()
    if dry_run:
        _tell_estimate(settings, run, console, as_json=as_json)
        return
    with flow_run(run, console, verbose=verbose):
        from flows.sft import sft as flow

        report = flow(sft=settings, run_dir=run.root)
    if as_json:
        json.dump(report, sys.stdout, indent=2)
        print()
        return
    card = (Path(report["model"]) / "README.md").read_text(encoding="utf-8")
    output().print(Markdown(card.partition("## Held-out problems")[2].partition("![")[0]))
    output().print(f"model: {report['model']}")


def _tell_estimate(settings: SftConfig, run: RunFolder, console: Console, *, as_json: bool) -> None:
    # Not above: they bring PyTorch, which takes seconds that no other command need wait.
    from pipeline.sft.estimate import estimate
    from pipeline.sft.prepare import prepared

    made = estimate(settings, prepared(settings, run.root, console.print).learning)
    if as_json:
        json.dump(_estimate_as_json(made), sys.stdout, indent=2)
        print()
        return
    _print_estimate(made)


def _print_estimate(made: "Estimate") -> None:
    from pipeline.sft.estimate import GPU_BYTES, UTILIZATION

    table = Table(title=f"{made.parameters:,} parameters", title_justify="left")
    for column in ("", "packs", "steps", "tokens", *(f"hours, {n} × H100" for n in made.memory)):
        table.add_column(column, justify="left" if not column else "right")
    for stage in made.stages:
        hours = (f"{stage.hours(devices):,.2f}" for devices in made.memory)
        table.add_row(stage.title, f"{stage.packs:,}", f"{stage.steps:,}", f"{stage.tokens:,}", *hours)
    sizes = (f"{size / 2**30:,.1f} GiB" for size in made.memory.values())
    table.add_row("memory per device", "", "", "", *sizes)
    output().print(table)
    output().print(
        f"estimated: hours at {UTILIZATION:.0%} of the H100's 989 TFLOP/s; memory of weights, gradients and "
        "moments, on several devices sharded over all (FSDP2), and of what a step keeps at its fullest; what "
        "CUDA itself takes comes on top"
    )
    for stage in made.stages:
        output().print(f"{stage.title}: {stage.shapes}; FlexAttention compiles once for each size")
    if made.memory[1] > GPU_BYTES:
        ways = "".join(f"\n  {name}: {size / 2**30:,.1f} GiB" for name, size in made.ways_to_fit().items())
        output().print(
            "does not fit one GPU of 80 GB; with this it would, in each device:"
            f"{ways or ' nothing that is offered; take shorter packs (data.max_tokens)'}"
        )


def _estimate_as_json(made: "Estimate") -> dict[str, Any]:
    return {
        "parameters": made.parameters,
        "memory_bytes_per_device": made.memory,
        "ways_to_fit": made.ways_to_fit(),
        "stages": [
            {
                "title": stage.title,
                "packs": stage.packs,
                "shapes": stage.shapes,
                "steps": stage.steps,
                "tokens": stage.tokens,
                "operations": stage.operations,
                "hours": {devices: stage.hours(devices) for devices in made.memory},
            }
            for stage in made.stages
        ],
    }
