"""A run in which only that counts which follows from the stages before it."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.inspection.traces import shards, stages_reached
from pipeline.run.store import Manifest, RunFolder


@dataclass(frozen=True)
class AsItStands(RunFolder):
    """A run folder that does not have what an older config has left behind a stage that is made anew.

    reached: by shard, the stages whose results hold.
    """

    reached: Mapping[int, frozenset[str]]

    def read_manifest(self, stage: str, shard: int) -> Manifest | None:
        return super().read_manifest(stage, shard) if stage in self.reached.get(shard, ()) else None


def as_it_stands(run: RunFolder) -> AsItStands:
    """The run as pages, tables and totals have to show it, all alike. Raises DamageError."""
    return AsItStands(run.root, {shard: frozenset(stages_reached(run, shard)) for shard in shards(run)})
