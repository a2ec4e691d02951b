"""Options that several commands share, and the config and run folder they add up to."""

import json
import os
from pathlib import Path
from typing import Annotated, Protocol

import typer

from pipeline.commands.console import messages
from pipeline.config import BuildConfig
from pipeline.config_file import ConfigError, load_config
from pipeline.files.sealed_json import read_sealed
from pipeline.packaged_files import find_config
from pipeline.run.store import RunFolder, StoreError

Config = Annotated[
    Path,
    typer.Option(
        "--config", "-c", help="YAML file that describes the build, or the name of one that comes along."
    ),
]
Source = Annotated[
    list[str] | None,
    typer.Option(
        "--source", "-s", help="Parquet or JSONL file, folder, glob or hf://… instead of the config's."
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Most traces to take.")]
Endpoint = Annotated[
    list[str] | None,
    typer.Option("--endpoint", "-e", help="OpenAI-compatible base URL ending in /v1; may be given again."),
]
ModelName = Annotated[
    str | None, typer.Option("--model", "-m", help="Name the endpoints serve, a Hub model, or a folder.")
]
RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", "-r", help="Folder of the run; default: data/runs/NAME in the current folder."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Override of one key, e.g. partition.min_tokens=300; may be given again. "
        "Wins over the file and over every other option.",
    ),
]


RUNS = Path("data/runs")
Run = Annotated[str, typer.Argument(help=f"A run folder, or its name under {RUNS}.")]
Beside = Annotated[
    str | None,
    typer.Option("--compare", help="A run to put beside it, trace by trace; default: that of last time."),
]


class Named(Protocol):
    """A config with the name that its run's folder has unless told otherwise."""

    @property
    def name(self) -> str: ...


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def build_config(
    config: Path,
    source: list[str] | None,
    limit: int | None,
    endpoint: list[str] | None,
    model: str | None,
    overrides: list[str] | None,
) -> BuildConfig:
    """The config of a file, a command's options over it, its --set over both. Raises ConfigError.

    A bare name may be that of a file that comes along; which one is taken is said on standard error.
    """
    config, told = find_config(config)
    if told:
        messages().print(told)
    given = {
        "source.paths": source,
        "select.limit": limit,
        "llm.endpoints": endpoint,
        "llm.model": model,
    }
    # JSON is YAML, which overrides are read as.
    options = [
        f"{key}={json.dumps(value, ensure_ascii=False)}"
        for key, value in given.items()
        if value not in (None, [])
    ]
    return load_config(config, [*options, *(overrides or [])])


def config_of(run: RunFolder, otherwise: str) -> Path:
    """The file with the config that a run was built with.

    otherwise: what to do where there is none, for the message. Raises ConfigError.
    """
    if not run.config_file.exists():
        raise ConfigError(
            f"{run.config_file}: no such file: not built yet, or by an older version; {otherwise}"
        )
    read_sealed(run.config_file, always=False, remedy=f"run the build again, or {otherwise}")
    return run.config_file


def run_folder(build: Named, run_dir: Path | None) -> Path:
    """Where the run lies: as told, or in data/runs under the build's name."""
    return (run_dir or RUNS / build.name).absolute()


def made_run_folder(build: Named, run_dir: Path | None) -> RunFolder:
    """The run's folder on this machine, made where it was not there. Raises StoreError where it cannot be."""
    root = run_folder(build, run_dir)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{root}: cannot be made ({error.strerror}); name another with --run-dir") from error
    if not os.access(root, os.W_OK | os.X_OK):
        raise StoreError(f"{root}: cannot be written; name another with --run-dir")
    return RunFolder(root)
