"""`openmementos plan`: what a build will take, told before any model is asked."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands import options
from pipeline.commands.console import messages, output
from pipeline.commands.step_progress import shown_steps
from pipeline.config import LlmConfig

if TYPE_CHECKING:
    from pipeline.plan import Placed, Prices

PromptSpeed = Annotated[
    float | None,
    typer.Option(min=1e-9, help="Prompt tokens computed per second, by all endpoints together."),
]
GenerationSpeed = Annotated[
    float | None, typer.Option(min=1e-9, help="Tokens generated per second, by all endpoints together.")
]
PromptPrice = Annotated[
    float | None, typer.Option(min=0, help="Price of a million prompt tokens; default: the config's.")
]
OnHardware = Annotated[
    str | None,
    typer.Option("--hardware", help="GPU that the model runs on: h200, h100, a100-80gb, l40s or rtx4090."),
]
Gpus = Annotated[int, typer.Option("--gpus", min=1, help="How many of them.")]
Parameters = Annotated[
    float | None,
    typer.Option(min=0.01, help="Parameters of the model in billions, where its name does not tell them."),
]
CompletionPrice = Annotated[
    float | None, typer.Option(min=0, help="Price of a million generated tokens; default: the config's.")
]


def plan(
    config: options.Config,
    source: options.Source = None,
    limit: options.Limit = None,
    endpoint: options.Endpoint = None,
    model: options.ModelName = None,
    run_dir: options.RunDir = None,
    overrides: options.Set = None,
    prompt_speed: PromptSpeed = None,
    generation_speed: GenerationSpeed = None,
    hardware: OnHardware = None,
    gpus: Gpus = 1,
    parameters: Parameters = None,
    prompt_price: PromptPrice = None,
    completion_price: CompletionPrice = None,
    as_json: options.Json = False,
) -> None:
    """Tell what a build will take: traces, sentences, requests, tokens, hours, cost. No model is asked.

    Traces are read and split for real, into the run folder, so that the build does not do it again. What is
    counted is marked exact, what rests on the paper's statistics (28 % of first mementos pass, mementos a
    sixth of their blocks) estimated. Tokens are those of the data's vocabulary; requests that must be
    repeated are not counted. Hours on named hardware are scaled from one measurement (an 8B model on one
    H200), by arithmetic for prompts and by memory bandwidth for what is generated.

    Examples:

      openmementos plan --config sample.yaml

      openmementos plan -c openthoughts3.yaml --limit 1000 --hardware h100 --gpus 2

      openmementos plan -c openthoughts3.yaml --prompt-speed 20000 --generation-speed 3000

      openmementos plan -c my.yaml -n 1000 --prompt-price 0.10 --completion-price 0.40 --json
    """
    # Not above: it takes a second, which every other command would wait for, too.
    from pipeline.ingest import source_told
    from pipeline.plan import Speeds, make_plan, tables
    from pipeline.plan import as_json as plan_as_json

    console = messages()
    if (prompt_speed is None) != (generation_speed is None):
        raise typer.BadParameter("--prompt-speed and --generation-speed belong together: give both")
    if hardware is not None and prompt_speed is not None:
        raise typer.BadParameter("--hardware and --prompt-speed both say how fast it is: give one of them")
    build = options.build_config(config, source, limit, endpoint, model, overrides)
    placed = _placed(build.llm, hardware, gpus, parameters) if hardware else None
    run = options.made_run_folder(build, run_dir)
    if told := source_told(build):
        console.print(told, highlight=False)
    try:
        with shown_steps(console) as on_progress:
            made = make_plan(build, run, on_progress)
    except KeyboardInterrupt:
        console.print("stopped; what is read and split is kept, run the same command to go on")
        raise typer.Exit(130) from None
    speeds = Speeds(prompt_speed, generation_speed) if prompt_speed and generation_speed else None
    prices = _prices(build.llm, prompt_price, completion_price)
    if as_json:
        json.dump(plan_as_json(made, speeds, prices, placed), sys.stdout, indent=2)
        print()
    else:
        output().print(tables(made, speeds, prices, placed))


def _placed(config: LlmConfig, hardware: str, gpus: int, parameters: float | None) -> "Placed":
    """The config's model on named hardware. Raises BadParameter for what is not known."""
    from pipeline.llm.serving import BUNDLED, model_name
    from pipeline.plan import HARDWARE, Placed, fit, size_of

    if hardware not in HARDWARE:
        known = ", ".join(HARDWARE)
        raise typer.BadParameter(f"--hardware {hardware}: known are {known}; for others --prompt-speed")
    name = model_name(config)
    size = size_of(name, 0.135 if config.model == BUNDLED and parameters is None else parameters)
    if size is None:
        raise typer.BadParameter(f"the name {name} does not tell how large the model is: give --parameters")
    by = "as given" if parameters else "by its name"
    told = f"{name}: {size.parameters:g}B parameters {by}, {size.bytes:g} bytes each"
    return Placed(told, f"{gpus} x {hardware}", fit(size, HARDWARE[hardware], gpus))


def _prices(config: LlmConfig, prompt: float | None, completion: float | None) -> "Prices | None":
    from pipeline.plan import Prices

    prompt = config.price_per_million_prompt_tokens if prompt is None else prompt
    completion = config.price_per_million_completion_tokens if completion is None else completion
    return None if prompt is None or completion is None else Prices(prompt, completion)
