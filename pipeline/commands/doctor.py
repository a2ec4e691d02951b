"""`openmementos doctor`: what is installed and reachable, and how to put right what is not."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipeline.commands import options
from pipeline.commands.console import output
from pipeline.config import BuildConfig
from pipeline.config_file import ConfigError, validated
from pipeline.doctor import Item, State, examine

_SIGNS = {State.OK: ("ok", "green"), State.NOTE: ("note", "yellow"), State.BROKEN: ("FIX", "bold red")}


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML file of a build; without: the defaults.")
    ] = None,
    endpoint: options.Endpoint = None,
    model: options.ModelName = None,
    run_dir: options.RunDir = None,
    as_json: options.Json = False,
) -> None:
    """Tell what is installed and reachable: each line ok, or how to fix it.

    No model is asked and no engine started; keys and tokens are never shown. Exit code 1 where something
    that a build needs is broken.

    Examples:

      openmementos doctor

      openmementos doctor --config openthoughts3.yaml

      openmementos doctor --endpoint http://localhost:8000/v1 --model Qwen/Qwen3-32B
    """
    items = []
    defaults = BuildConfig(name="defaults")
    try:
        if config is None:
            llm = {"endpoints": endpoint or (), "model": model or defaults.llm.model}
            build = validated({"name": defaults.name, "llm": llm}, "options", BuildConfig)
        else:
            build = options.build_config(config, None, None, endpoint, model, None)
            items.append(Item("config", State.OK, str(config)))
    except ConfigError as error:
        items.append(Item("config", State.BROKEN, str(error), "correct it; what follows is for the defaults"))
        build = defaults
    root = options.run_folder(build, run_dir) if config or run_dir else options.RUNS.absolute()
    items += examine(build, root)
    broken = [item for item in items if item.state is State.BROKEN]
    if as_json:
        json.dump({"ok": not broken, "items": [asdict(item) for item in items]}, sys.stdout, indent=2)
        print()
    else:
        output().print(_table(items))
    if broken:
        raise typer.Exit(1)


def _table(items: list[Item]) -> Table:
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    for item in items:
        sign, style = _SIGNS[item.state]
        told = Text(item.found)
        if item.remedy:
            told.append(f"\n→ {item.remedy}", style=style)
        table.add_row(Text(sign, style=style), Text(item.name), told)
    return table
