"""One trace of a run folder with all that the stages made of it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.inspection.traces import TraceLine, endings, lines_of_shard, shards, stages_reached
from pipeline.run.status import read_status
from pipeline.run.store import RunFolder
from pipeline.stages.registry import INGEST
from pipeline.text.pieces import cut

_SHOWN_NAMES = 8


class NotThere(Exception):
    """There is no such run, trace or block; the message names the ones there are."""


@dataclass(frozen=True)
class Sentence:
    """A sentence, and the boundary behind it: None at the end of the reasoning or where nothing is scored."""

    text: str
    tokens: int
    score: float | None
    reason: str | None


@dataclass(frozen=True)
class Block:
    """Some sentences, `first` being the number of the first. number: None while nothing is cut.

    memento: as schemas.tables.MEMENTO has it; None while there is none.
    """

    number: int | None
    first: int
    sentences: list[Sentence]
    memento: dict[str, Any] | None

    @property
    def tokens(self) -> int:
        return sum(sentence.tokens for sentence in self.sentences)


@dataclass(frozen=True)
class Story:
    """A trace: its line in the list, its columns as far as it came, and how it ended.

    trace: None where ingest rejected it (its text is then in the source only). ending: the row of the
    rejected or failed traces that names the reason, or None.
    """

    line: TraceLine
    trace: dict[str, Any] | None
    blocks: list[Block]
    ending: dict[str, Any] | None


def find_run(name: str, runs: Path) -> RunFolder:
    """The run in a folder of that path, or of that name under `runs`. Raises NotThere."""
    for root in (Path(name), runs / name):
        if (root / INGEST).is_dir():
            return RunFolder(root)
    if Path(name).parent.name == "rechecks":
        raise NotThere(f"{name}: a recheck; name its run, or see both with `openmementos compare`")
    for root in (Path(name), runs / name):
        status = read_status(RunFolder(root))
        if status is not None and status.state == "working":
            raise NotThere(f"{root}: its sources are still being read; try again in a moment")
    if (Path(name)).is_dir():
        raise NotThere(f"{name}: no run folder, nothing was read into it; begin with `openmementos build`")
    there = sorted(path.name for path in runs.glob("*") if (path / INGEST).is_dir())
    if not there:
        raise NotThere(f"no run {name!r}, and none in {runs}; give a run folder's path, or build first")
    raise NotThere(f"no run {name!r}; runs in {runs}: {', '.join(there)}")


def find_trace(run: RunFolder, prefix: str) -> Story:
    """The story of the trace whose id is `prefix`, or the only one whose id begins so. Raises NotThere."""
    shard_of = dict(_ids(run))
    matches = [prefix] if prefix in shard_of else sorted(id_ for id_ in shard_of if id_.startswith(prefix))
    if len(matches) > 1:
        shown = ", ".join(matches[:_SHOWN_NAMES]) + (", …" if len(matches) > _SHOWN_NAMES else "")
        raise NotThere(f"{len(matches)} traces begin with {prefix!r}: {shown}")
    if not matches:
        raise NotThere(f"{run.root}: no trace {prefix!r}{_nearest(prefix, shard_of)}")
    (trace_id,) = matches
    (story,) = stories_of_shard(run, shard_of[trace_id], lambda line: line.trace_id == trace_id)
    return story


def stories_of_shard(
    run: RunFolder, shard: int, wanted: Callable[[TraceLine], bool] = lambda line: True
) -> Iterator[Story]:
    """The stories of a shard's wanted traces, in the order of `lines_of_shard`. Memory: the shard's."""
    lines = [line for line in lines_of_shard(run, shard) if wanted(line)]
    stages = stages_reached(run, shard)
    ended = endings(run, shard, stages)
    rejected = {(row["trace_id"], row["origin"]): row for row in run.read_rejected(INGEST, shard).to_pylist()}
    columns = _columns(run, shard, stages, {line.trace_id for line in lines})
    for line in lines:
        row = columns.get(line.trace_id)
        trace = None if row is None else row.as_py()
        # A row that could not be read has no id; its place in the source names it.
        ending = rejected.get((line.trace_id, line.origin)) if trace is None else ended.get(line.trace_id)
        yield Story(line, trace, _blocks(trace) if trace else [], ending)


def only_block(story: Story, number: int) -> Block:
    """The block of that number, from 0. Raises NotThere."""
    for block in story.blocks:
        if block.number == number:
            return block
    numbers = [block.number for block in story.blocks if block.number is not None]
    there = f"its blocks are 0 to {numbers[-1]}" if numbers else "it is not cut into blocks"
    raise NotThere(f"trace {story.line.trace_id} has no block {number}: {there}")


def _ids(run: RunFolder) -> Iterator[tuple[str, int]]:
    """Ids and the shard of each; a row that could not be read has none."""
    for shard in shards(run):
        for table in (run.read(INGEST, shard, ["trace_id"]), run.read_rejected(INGEST, shard)):
            yield from ((trace_id, shard) for trace_id in table["trace_id"].to_pylist() if trace_id)


def _nearest(prefix: str, ids: Iterable[str]) -> str:
    shared = {trace_id: _shared(prefix, trace_id) for trace_id in ids}
    if not shared:
        return ", and no trace at all"
    most = max(shared.values())
    near = sorted(trace_id for trace_id, length in shared.items() if length == most)[:_SHOWN_NAMES]
    return f"; the nearest {'are' if len(near) > 1 else 'is'} {', '.join(near)}"


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _columns(run: RunFolder, shard: int, stages: list[str], ids: set[str]) -> dict[str, pa.StructScalar]:
    """Each trace from the last stage that it went through: a stage keeps the columns of those before."""
    found: dict[str, pa.StructScalar] = {}
    for stage in reversed(stages):
        missing = pa.array(sorted(ids - found.keys()), pa.string())
        if len(missing):
            rows = pq.read_table(run.opened(stage, shard), filters=pc.field("trace_id").isin(missing))
            scalars = rows.to_struct_array()
            found |= zip(rows["trace_id"].to_pylist(), scalars, strict=True)
    return found


def _blocks(trace: dict[str, Any]) -> list[Block]:
    if "sentence_ends" not in trace:
        return []
    texts = cut(trace["reasoning"], trace["sentence_ends"])
    nothing = [None] * len(texts)
    scores = [*trace.get("boundary_scores", nothing[1:]), None]
    reasons = [*trace.get("boundary_reasons", nothing[1:]), None]
    sentences = [
        Sentence(*parts) for parts in zip(texts, trace["sentence_tokens"], scores, reasons, strict=True)
    ]
    if "block_ends" not in trace:
        return [Block(None, 0, sentences, None)]
    ends = trace["block_ends"]
    starts = [0, *ends[:-1]]
    mementos = trace.get("mementos", [None] * len(ends))
    return [
        Block(number, start, sentences[start:end], memento)
        for number, (start, end, memento) in enumerate(zip(starts, ends, mementos, strict=True))
    ]
