"""The stages between ingest and publish, in their order."""

from pipeline.config import BuildConfig
from pipeline.mementos.writing import MEMENTOS
from pipeline.records.records import RECORDS
from pipeline.segmentation.cutting import PARTITION
from pipeline.segmentation.scoring import SCORE
from pipeline.segmentation.splitting import SPLIT
from pipeline.stage import Stage
from pipeline.store import Manifest, RunFolder, config_digest

INGEST = "ingest"
STAGES: tuple[Stage, ...] = (SPLIT, SCORE, PARTITION, MEMENTOS, RECORDS)


def stage_named(name: str) -> Stage:
    """The stage of that name. Raises KeyError where there is none."""
    return {stage.name: stage for stage in STAGES}[name]


def stage_before(stage: Stage) -> str:
    """Name of the stage whose shards this one reads."""
    number = STAGES.index(stage)
    return STAGES[number - 1].name if number else INGEST


def current_manifest(run: RunFolder, build: BuildConfig, stage: Stage, shard: int) -> Manifest | None:
    """The manifest of a shard whose result still holds for its input as it lies there now; else None."""
    before = run.read_manifest(stage_before(stage), shard)
    if before is None:
        return None
    digest = config_digest(stage.config(build))
    return run.current(stage.name, shard, input=before.output, config=digest, version=stage.version)


def stale_stages(run: RunFolder, build: BuildConfig, shard: int) -> tuple[Stage, ...]:
    """The stages that have to run for a shard: the first that is not current, and all after it."""
    for number, stage in enumerate(STAGES):
        if current_manifest(run, build, stage, shard) is None:
            return STAGES[number:]
    return ()


def needs_model(run: RunFolder, build: BuildConfig, shards: int) -> bool:
    """Whether any shard has work left that asks a model."""
    return any(stage.asks(build) for shard in range(shards) for stage in stale_stages(run, build, shard))
