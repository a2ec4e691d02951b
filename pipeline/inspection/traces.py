"""The traces of a run folder, one line each: how far each came, and what it came to."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.mementos.writing import MEMENTOS
from pipeline.run.outcomes import QUALITY_REASONS, RejectReason
from pipeline.run.store import RunFolder
from pipeline.stages.registry import INGEST, STAGES

_LAST = STAGES[-1].name
# What a line needs of the columns that a stage adds.
_COUNTED = {"split": ["sentence_ends"], "partition": ["block_tokens"], "mementos": ["mementos"]}


class TraceState(StrEnum):
    """How a trace stands."""

    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"
    UNFINISHED = "unfinished"


@dataclass(frozen=True)
class TraceLine:
    """One trace in a list. What it has not come to is None.

    stage: where it was rejected or failed, or the last one it went through. compression: tokens of blocks per
    token of mementos; score: mean of the judge's points; rounds: mean per memento.
    """

    trace_id: str
    origin: str
    domain: str | None
    state: TraceState
    stage: str
    reason: str
    shard: int
    sentences: int | None = None
    blocks: int | None = None
    compression: float | None = None
    score: float | None = None
    rounds: float | None = None


def trace_lines(run: RunFolder) -> Iterator[TraceLine]:
    """Every trace of the run, in the order of the source within a shard, those rejected at ingest last.

    One shard at a time is in memory.
    """
    for shard in shards(run):
        yield from lines_of_shard(run, shard)


def lines_of_shard(run: RunFolder, shard: int) -> Iterator[TraceLine]:
    """The same for one shard."""
    stages = stages_reached(run, shard)
    ended = endings(run, shard, stages)
    columns = {name: _column(run, name, shard) for name in stages if name in _COUNTED}
    passed = {name: _ids(run, name, shard) for name in stages}
    for row in _read(run, INGEST, shard, ["trace_id", "origin", "domain"]):
        trace_id = row["trace_id"]
        last = [name for name in stages if trace_id in passed[name]][-1]
        yield TraceLine(
            **row,
            **_standing(ended.get(trace_id), last),
            **_counts({name: column[trace_id] for name, column in columns.items() if trace_id in column}),
            shard=shard,
        )
    for row in run.read_rejected(INGEST, shard).to_pylist():
        yield TraceLine(row["trace_id"], row["origin"], None, **_standing(row, INGEST), shard=shard)


def shards(run: RunFolder) -> Iterator[int]:
    """Numbers of the shards that ingest has written."""
    for shard in count():
        if run.read_manifest(INGEST, shard) is None:
            return
        yield shard


def finished_shards(run: RunFolder) -> Iterator[int]:
    """Shards whose records follow from the stages before; what an older config left does not count."""
    return (shard for shard in shards(run) if _LAST in stages_reached(run, shard))


def left_out(run: RunFolder, shard: int) -> dict[str, RejectReason]:
    """Finished traces of a shard that are not published for their mementos' points or checks, by id."""
    rows = run.read_rejected(_LAST, shard).to_pylist()
    reasons = {row["trace_id"]: RejectReason(row["reason"]) for row in rows}
    return {trace_id: reason for trace_id, reason in reasons.items() if reason in QUALITY_REASONS}


def finished_rows(run: RunFolder, shard: int, columns: list[str] | None = None) -> pa.Table:
    """Rows of the mementos stage whose records are sound, published or `left_out`; with `trace_id`."""
    rows = run.read(MEMENTOS.name, shard, columns)
    ids = {row["trace_id"] for row in _read(run, _LAST, shard, ["trace_id"])} | left_out(run, shard).keys()
    return rows.filter(pc.is_in(rows["trace_id"], pa.array(sorted(ids), pa.string())))


def stages_reached(run: RunFolder, shard: int) -> list[str]:
    """Stages whose result for the shard follows from the one before; what an older run left beyond is not."""
    reached = [INGEST]
    before = run.read_manifest(INGEST, shard)
    for stage in STAGES:
        manifest = run.read_manifest(stage.name, shard)
        if manifest is None or before is None or manifest.input != before.output:
            break
        reached.append(stage.name)
        before = manifest
    return reached


def endings(run: RunFolder, shard: int, stages: list[str]) -> dict[str, dict[str, Any]]:
    """Rows of the traces that ingest took and that one of these stages rejected or failed, by id."""
    later = [name for name in stages if name != INGEST]
    tables = (read(name, shard) for name in later for read in (run.read_rejected, run.read_failed))
    return {row["trace_id"]: row for table in tables for row in table.to_pylist()}


def _standing(ending: dict[str, Any] | None, last: str) -> dict[str, Any]:
    if ending is None:
        state = TraceState.DONE if last == _LAST else TraceState.UNFINISHED
        return {"state": state, "stage": last, "reason": ""}
    if "reason" in ending:
        reason = RejectReason(ending["reason"]).text
        return {"state": TraceState.REJECTED, "stage": ending["stage"], "reason": reason}
    return {"state": TraceState.FAILED, "stage": ending["stage"], "reason": ending["error"].splitlines()[0]}


def _counts(columns: dict[str, list[Any]]) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    if "split" in columns:
        counts["sentences"] = len(columns["split"])
    if "partition" in columns:
        counts["blocks"] = len(columns["partition"])
    if mementos := columns.get("mementos"):
        tokens = sum(memento["tokens"] for memento in mementos)
        counts["compression"] = sum(columns["partition"]) / tokens if tokens else None
        # None where no judge was asked.
        judged = [memento["score"] for memento in mementos if memento["score"] is not None]
        counts["score"] = sum(judged) / len(judged) if judged else None
        counts["rounds"] = sum(len(memento["rounds"]) for memento in mementos) / len(mementos)
    return counts


def _column(run: RunFolder, stage: str, shard: int) -> dict[str, list[Any]]:
    (name,) = _COUNTED[stage]
    return {row["trace_id"]: row[name] for row in _read(run, stage, shard, ["trace_id", name])}


def _ids(run: RunFolder, stage: str, shard: int) -> set[str]:
    return {row["trace_id"] for row in _read(run, stage, shard, ["trace_id"])}


def _read(run: RunFolder, stage: str, shard: int, columns: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run.read(stage, shard, columns).to_pylist()
    return rows
