"""`openmementos plan`: what a build will take, told before any model is asked."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands import options
from pipeline.commands.console import messages, output
from pipeline.commands.steps import shown_steps
from pipeline.config import LlmConfig

if TYPE_CHECKING:
    from pipeline.plan import Prices

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
    prompt_price: PromptPrice = None,
    completion_price: CompletionPrice = None,
    as_json: options.Json = False,
) -> None:
    """Tell what a build will take: traces, sentences, requests, tokens, hours, cost. No model is asked.

    Traces are read and split for real, into the run folder, so that the build does not do it again. What is
    counted is marked exact, what rests on the paper's statistics (28 % of first mementos pass, mementos a
    sixth of their blocks) estimated. Tokens are those of the data's vocabulary; requests that must be
    repeated are not counted.

    Examples:

      openmementos plan --config sample.yaml

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
    build = options.build_config(config, source, limit, endpoint, model, overrides)
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
        json.dump(plan_as_json(made, speeds, prices), sys.stdout, indent=2)
        print()
    else:
        output().print(tables(made, speeds, prices))


def _prices(config: LlmConfig, prompt: float | None, completion: float | None) -> "Prices | None":
    from pipeline.plan import Prices

    prompt = config.price_per_million_prompt_tokens if prompt is None else prompt
    completion = config.price_per_million_completion_tokens if completion is None else completion
    return None if prompt is None or completion is None else Prices(prompt, completion)
