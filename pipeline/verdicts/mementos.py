"""The mementos that verdicts are about, as they stand in the run now."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config_file import ConfigError, load_config
from pipeline.inspection.trace_history import NotThere
from pipeline.inspection.traces import shards, stages_reached
from pipeline.mementos.writing import MEMENTOS
from pipeline.records.quality import shortfalls
from pipeline.run.store import RunFolder
from pipeline.text.pieces import block_texts
from pipeline.verdicts.verdict import Key

_COLUMNS = ["trace_id", "domain", "reasoning", "sentence_ends", "block_ends", "mementos"]


@dataclass(frozen=True)
class JudgedMemento:
    """A memento with its block. memento: as schemas.tables.MEMENTO has it; block: its number, from 0."""

    trace_id: str
    domain: str
    block: int
    block_text: str
    memento: dict[str, Any]

    @property
    def text(self) -> str:
        text: str = self.memento["text"]
        return text

    @property
    def score(self) -> int | None:
        score: int | None = self.memento["score"]
        return score

    @cached_property
    def key(self) -> Key:
        return Key(self.trace_id, self.block, hashlib.sha256(self.text.encode()).hexdigest())

    def passes(self, threshold: int) -> bool:
        """Whether its judge gave `threshold` points or more, and its checks found nothing but notes."""
        return not shortfalls([self.memento], threshold)


def mementos_of(run: RunFolder, trace_ids: Collection[str]) -> Iterator[JudgedMemento]:
    """The mementos of these traces, as far as they are written, shard by shard in the order of blocks.

    Of shards that have none of them no more is read than ids. Raises DamageError.
    """
    wanted = pc.field("trace_id").isin(pa.array(sorted(set(trace_ids)), pa.string()))
    for shard in shards(run) if trace_ids else ():
        if not _may_have(run, shard, wanted) or MEMENTOS.name not in stages_reached(run, shard):
            continue
        rows = pq.read_table(run.opened(MEMENTOS.name, shard), columns=_COLUMNS, filters=wanted)
        for row in rows.to_pylist():
            texts = block_texts(row["reasoning"], row["sentence_ends"], row["block_ends"])
            for block, (text, memento) in enumerate(zip(texts, row["mementos"], strict=True)):
                yield JudgedMemento(row["trace_id"], row["domain"], block, text, memento)


def memento_of(run: RunFolder, trace_id: str, block: int) -> JudgedMemento:
    """The memento of one block. Raises NotThere, saying what there is; DamageError."""
    number = -1
    for one in mementos_of(run, [trace_id]):
        if one.block == block:
            return one
        number = one.block
    if number < 0:
        raise NotThere(f"{run.root}: no trace {trace_id!r} whose mementos are written")
    raise NotThere(f"trace {trace_id} has no block {block}: its blocks are 0 to {number}")


def points_that_pass(run: RunFolder) -> int:
    """mementos.threshold of the config that the run was built with. Raises ConfigError."""
    if not run.config_file.exists():
        raise ConfigError(
            f"{run.config_file}: no such file, so that it is not known which points pass; run the build again"
        )
    return load_config(run.config_file).mementos.threshold


def _may_have(run: RunFolder, shard: int, wanted: pc.Expression) -> bool:
    """Whether a shard has any such trace, from the ids alone, of which no digest is computed."""
    path = run.shard(MEMENTOS.name, shard)
    try:
        return bool(pq.read_table(path, columns=["trace_id"], filters=wanted).num_rows)
    except (OSError, pa.ArrowException):
        # Not there, or damaged: who reads it whole says so.
        return True
