"""`openmementos deploy`: a build that a Prefect server can run by itself."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.commands import options
from pipeline.commands.console import messages
from pipeline.config import BuildConfig
from pipeline.doctor import State, examine_inputs


def deploy(
    config: options.Config,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the deployment; default: the build's name.")
    ] = None,
    cron: Annotated[
        str | None,
        typer.Option("--cron", help='When to run, e.g. "0 3 * * *" for every night at 3; default: by hand.'),
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="Whose clocks --cron means.")] = "UTC",
    source: options.Source = None,
    limit: options.Limit = None,
    endpoint: options.Endpoint = None,
    model: options.ModelName = None,
    run_dir: options.RunDir = None,
    overrides: options.Set = None,
) -> None:
    """Register a build on the Prefect server that PREFECT_API_URL names, with an optional schedule.

    It waits there for its time, or for a person who presses Run in the UI, where every value of the config
    can be changed for that run; `openmementos serve` runs it. Deploying the same name again updates it.
    What is wrong with source and endpoints, as seen from here, is told; it is deployed all the same, since
    they may be there when it runs, or where.

    Examples:

      openmementos deploy --config sample.yaml

      openmementos deploy -c mine.yaml -s 'traces/*.parquet' --cron "0 3 * * *" --timezone Europe/Berlin
    """
    console = messages(stderr=False)
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
    # Prefect reads its settings, the log level with them, when it is imported.
    from flows import deployments

    build = options.build_config(config, source, limit, endpoint, model, overrides)
    folder = options.run_folder(build, run_dir)
    schedule = deployments.cron_schedule(cron, timezone) if cron else None
    url = deployments.connected()
    identity = deployments.deploy_dataset(
        with_absolute_paths(build), folder, name=name or build.name, schedule=schedule
    )
    runs = f"runs at {cron} {timezone}" if cron else "runs when started by hand"
    console.print(f"deployed dataset/{name or build.name} on {url}: {runs}")
    page = deployments.ui_url(f"deployments/deployment/{identity}")
    console.print(f"look at it: {page}")
    _print_inputs(console, build)
    console.print("run what is due: openmementos serve")


def _print_inputs(console: Console, build: BuildConfig) -> None:
    """Says what of a deployed build's sources and endpoints is there and what is not, as seen from here."""
    for item in examine_inputs(build):
        if item.state is State.BROKEN:
            console.print(f"warning: {item.name}: {item.found}; a run would fail: {item.remedy}")
        else:
            console.print(f"{item.name}: {item.found}{item.remedy and f'; {item.remedy}'}")


def with_absolute_paths(build: BuildConfig) -> BuildConfig:
    """The same build for a process that starts in another folder; addresses with a scheme stay."""
    paths = tuple(path if "://" in path else str(_absolute(path)) for path in build.source.paths)
    changes: dict[str, object] = {
        "source": build.source.model_copy(update={"paths": paths}),
    }
    # With endpoints, the model is a name that they serve, even where a folder happens to be called that.
    if not build.llm.endpoints and _absolute(build.llm.model).is_dir():
        changes["llm"] = build.llm.model_copy(update={"model": str(_absolute(build.llm.model))})
    return build.model_copy(update=changes)


def _absolute(path: str) -> Path:
    return Path(path).expanduser().absolute()
