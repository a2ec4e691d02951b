"""The stages between ingest and publish, in their order."""

from collections.abc import Mapping
from itertools import chain

from pipeline.config import BuildConfig
from pipeline.mementos.writing import MEMENTOS
from pipeline.records.records import RECORDS
from pipeline.run.store import Manifest, RunFolder, config_digest
from pipeline.segmentation.partition.stage import PARTITION
from pipeline.segmentation.score.stage import SCORE
from pipeline.segmentation.split.stage import SPLIT
from pipeline.stages.stage import Stage

INGEST = "ingest"
# In a journey a trace goes from stage to stage without waiting for the others of its shard. All stages that
# ask a model are in one: what the engine has computed of a trace it still has when the next one asks.
JOURNEYS: tuple[tuple[Stage, ...], ...] = ((SPLIT,), (SCORE, PARTITION, MEMENTOS), (RECORDS,))
STAGES = tuple(chain.from_iterable(JOURNEYS))


def stage_named(name: str) -> Stage:
    """The stage of that name. Raises KeyError where there is none."""
    return {stage.name: stage for stage in STAGES}[name]


def stage_before(stage: Stage) -> str:
    """Name of the stage whose shards this one reads."""
    number = STAGES.index(stage)
    return STAGES[number - 1].name if number else INGEST


def config_digests(build: BuildConfig) -> dict[str, str]:
    """By stage, the digest of what its result depends on besides its input."""
    return {stage.name: config_digest(stage.config(build)) for stage in STAGES}


def current_manifest(run: RunFolder, digests: Mapping[str, str], stage: Stage, shard: int) -> Manifest | None:
    """The manifest of a shard whose result still holds for its input as it lies there now; else None.

    digests: from `config_digests`.
    """
    before = run.read_manifest(stage_before(stage), shard)
    if before is None:
        return None
    return run.current(
        stage.name, shard, input=before.output, config=digests[stage.name], version=stage.version
    )


def stale_stages(run: RunFolder, digests: Mapping[str, str], shard: int) -> tuple[Stage, ...]:
    """The stages that have to run for a shard: the first that is not current, and all after it."""
    for number, stage in enumerate(STAGES):
        if current_manifest(run, digests, stage, shard) is None:
            return STAGES[number:]
    return ()


def needs_model(run: RunFolder, build: BuildConfig, shards: int) -> bool:
    """Whether any shard has work left that asks a model."""
    digests = config_digests(build)
    return any(stage.asks(build) for shard in range(shards) for stage in stale_stages(run, digests, shard))
