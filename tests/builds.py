"""A whole build in this process, step by step as the flow takes it, and folders to compare."""

import json
from pathlib import Path
from typing import Any

from pipeline.config import BuildConfig
from pipeline.files.atomic import file_digest
from pipeline.files.sealed_json import write_sealed
from pipeline.ingest import ingest
from pipeline.llm.serving import model_name, starting
from pipeline.publish import publish
from pipeline.run.repair import repair, repair_records
from pipeline.run.store import RunFolder
from pipeline.run.totals import read_totals
from pipeline.stages.registry import INGEST, JOURNEYS, STAGES
from pipeline.stages.run_shard import run_stages

LINES = (
    "First, take the case of {i} apples.",
    "That gives {i} + 1 = {j}.",
    "Now check the other case, with {i} pears.",
)


def source_of(folder: Path, traces: int, lines: int = 12) -> Path:
    """A file of short traces, and one more that is cut before its reasoning ends."""
    rows = []
    for number in range(traces):
        reasoning = "\n\n".join(LINES[i % 3].format(i=i + number, j=i + number + 1) for i in range(lines))
        rows.append((f"How many are {number}?", f"<think>{reasoning}</think>They are {number}."))
    rows.append(("How many?", "<think>Well, let me"))
    path = folder / "traces.jsonl"
    path.write_text("".join(json.dumps({"problem": p, "response": r}) + "\n" for p, r in rows))
    return path


def small_build(source: Path, endpoint: str, **settings: Any) -> BuildConfig:
    """Two traces a shard, small blocks, some boundaries and all mementos asked for."""
    told = {
        "name": "small",
        "source": {"paths": [str(source)]},
        "score": {"form": "window"},
        "partition": {"min_tokens": 30},
        "llm": {"endpoints": [endpoint], "model": "stub"},
        "traces_per_shard": 2,
    }
    return BuildConfig.model_validate(told | settings)


def run_build(build: BuildConfig, run: RunFolder) -> None:
    """The dataset flow's steps, one shard after the other."""
    stages = [stage.name for stage in STAGES]
    with run.lock():
        repair_records(run)
        repair(run, [INGEST, *stages], run.tell)
        write_sealed(build.model_dump(mode="json"), run.config_file)
        shards = ingest(build, run, lambda done, total: None)
        run.remove_shards_from(shards, stages)
        with starting(build.llm, run.root / "engine.log", run.tell) as model:
            served = model.ready()
            for shard in range(shards):
                for journey in JOURNEYS:
                    run_stages([stage.name for stage in journey], shard, run, build, served)
        used = list(dict.fromkeys(label for stage in STAGES for label in stage.prompts(build)))
        name = model_name(build.llm)
        publish(run, range(shards), build, prompts=used, models=(name, name))
        read_totals(run, build, shards, seconds=1.0).write(run.totals)


def published(run: RunFolder) -> dict[str, str]:
    """SHA-256 of every published file by its path."""
    files = (path for path in run.publish.rglob("*") if path.is_file())
    return {str(path.relative_to(run.publish)): file_digest(path) for path in files}
