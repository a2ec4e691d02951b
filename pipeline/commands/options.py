"""Options that several commands share, and the config and run folder they add up to."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.config import BuildConfig
from pipeline.config_file import load_config

Config = Annotated[Path, typer.Option("--config", "-c", help="YAML file that describes the build.")]
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
    Path | None, typer.Option("--run-dir", "-r", help="Folder of the run; default: data/runs/NAME.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override of one key, e.g. partition.min_tokens=300; may be given again."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def build_config(
    config: Path,
    source: list[str] | None,
    limit: int | None,
    endpoint: list[str] | None,
    model: str | None,
    overrides: list[str] | None,
) -> BuildConfig:
    """The config of a file with a command's options over it. Raises ConfigError."""
    build = load_config(config, overrides or [])
    changes: dict[str, Any] = {}
    if source:
        changes["source"] = build.source.model_copy(update={"paths": tuple(source)})
    if limit:
        changes["select"] = build.select.model_copy(update={"limit": limit})
    served = {"endpoints": tuple(endpoint)} if endpoint else {}
    named = {"model": model} if model else {}
    if served or named:
        changes["llm"] = build.llm.model_copy(update={**served, **named})
    return build.model_copy(update=changes)


def run_folder(build: BuildConfig, run_dir: Path | None) -> Path:
    """Where the run lies: as told, or in data/runs under the build's name."""
    return (run_dir or Path("data/runs") / build.name).absolute()
