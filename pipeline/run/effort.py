"""What each trace took in the stages that ask a model: a side file per stage and shard, for reports alone.

No manifest speaks of these files, since times differ from run to run; nothing is made again for want of one.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files.atomic import value_digest, write_table
from pipeline.files.damage import DamageError, set_aside
from pipeline.llm.model import Reply
from pipeline.run.store import RunFolder
from schemas.tables import EFFORT

LOG = logging.getLogger(__name__)
_SEAL = b"checksum"


@dataclass(frozen=True)
class Effort:
    """What a trace took: seconds at work, and what was asked for it; prompt_tokens counts cached_tokens too.

    seconds: from its coming to a stage to its leaving it, in the run that ended it there, waits for an answer
    or for a free slot included. Requests and tokens are those of all replies that were used for it, those
    that an earlier run had paid for included. A request that ended in an error gave no reply and has no part.
    """

    seconds: float = 0.0
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Effort") -> "Effort":
        return Effort(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


def effort_of(reply: Reply) -> Effort:
    """What a reply took; nothing where the same reply was counted for somebody else already."""
    used = reply.usage
    prompt_tokens = used.prompt_tokens + used.paid_before_prompt_tokens
    # One from disk had been asked for by an earlier run; one that is shared was asked for once.
    asked = used.requests > 0 or prompt_tokens > 0
    return Effort(
        requests=reply.attempts if asked else 0,
        prompt_tokens=prompt_tokens,
        cached_tokens=used.cached_tokens + used.paid_before_cached_tokens,
        completion_tokens=used.completion_tokens + used.paid_before_completion_tokens,
    )


def write_effort(run: RunFolder, stage: str, shard: int, efforts: Mapping[str, Effort]) -> None:
    """Writes what each trace of a shard took in a stage. efforts: by trace id. Raises WriteError."""
    rows = [{"trace_id": trace_id, **asdict(effort)} for trace_id, effort in efforts.items()]
    schema = EFFORT.with_metadata({_SEAL: value_digest(rows)})
    write_table(pa.Table.from_pylist(rows, schema), run.effort(stage, shard))


def read_effort(run: RunFolder, shard: int) -> dict[str, Effort]:
    """By trace id, what each trace of a shard took in all stages that asked a model for it.

    Empty where nothing was written (a run of an older version); a damaged file is left out and named.
    """
    efforts: dict[str, Effort] = {}
    for path in sorted(run.effort("*", shard).parent.glob(run.effort("*", shard).name)):
        try:
            rows = _rows(path)
        except DamageError as damage:
            LOG.warning("left out of the report: %s", damage)
            continue
        for row in rows:
            trace_id = row.pop("trace_id")
            efforts[trace_id] = efforts.get(trace_id, Effort()) + Effort(**row)
    return efforts


def set_aside_damaged(run: RunFolder) -> None:
    """Sets aside what is damaged of these files. The caller holds the run's lock."""
    for path in sorted(run.effort("*", 0).parent.glob("*.parquet")):
        try:
            _rows(path)
        except DamageError as damage:
            set_aside(damage, then="left out of the report")


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file. Raises DamageError."""
    try:
        table = pq.read_table(pa.BufferReader(path.read_bytes()))
        rows: list[dict[str, Any]] = table.select(EFFORT.names).cast(EFFORT).to_pylist()
        # None of older versions.
        seal = (table.schema.metadata or {}).get(_SEAL)
    # Of bytes that changed, Arrow and Python say so in a dozen ways.
    except Exception as error:
        raise DamageError(path, str(error)) from error
    if seal is not None and seal != value_digest(rows).encode():
        raise DamageError(path, "its checksum does not fit")
    return rows
