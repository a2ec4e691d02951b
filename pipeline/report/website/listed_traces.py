"""Which traces of a run the site shows, and where the page of each lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipeline.run.outcomes import RejectReason
from pipeline.run.store import RunFolder
from pipeline.stages.registry import INGEST


@dataclass(frozen=True)
class ListedTrace:
    """A trace by id, empty where its row could not be read, and origin; path: of its page."""

    trace_id: str
    origin: str
    path: str


@dataclass(frozen=True)
class ListedShard:
    """A shard's traces that the site shows, in the order of its files, those that ingest rejected last."""

    number: int
    traces: list[ListedTrace]

    @property
    def folder(self) -> str:
        return f"traces/{self.number:05d}"

    @property
    def chunk(self) -> str:
        """Path of the script with its rows of the table."""
        return f"{self.folder}/rows.js"

    @property
    def paths(self) -> list[str]:
        return [trace.path for trace in self.traces]


def listed_traces(run: RunFolder, shards: Sequence[int], most: int) -> list[ListedShard]:
    """The traces to show: all, or at most `most` of them, evenly chosen."""
    share = Fraction(most, max(most, sum(rows_to_show(run, shard) for shard in shards)))
    listed, before = [], 0
    for shard in shards:
        traces = _traces(run, shard)
        listed.append(ListedShard(shard, _evenly(traces, share, before)))
        before += len(traces)
    return listed


def rows_to_show(run: RunFolder, shard: int) -> int:
    """Rows of a shard, but those that select.limit and select.mix leave out: there is nothing to see."""
    manifest = run.read_manifest(INGEST, shard)
    return 0 if manifest is None else manifest.rows_in - manifest.rejected.get(RejectReason.NOT_CHOSEN, 0)


def _evenly(traces: list[ListedTrace], share: Fraction, before: int) -> list[ListedTrace]:
    """This share of the traces: whenever the shares of all so far come to one more whole."""
    ranked = enumerate(traces, before)
    return [trace for rank, trace in ranked if int((rank + 1) * share) > int(rank * share)]


def _traces(run: RunFolder, shard: int) -> list[ListedTrace]:
    taken = run.read(INGEST, shard, ["trace_id", "origin"]).to_pylist()
    rejected = run.read_rejected(INGEST, shard).to_pylist()
    rows = [*taken, *(row for row in rejected if row["reason"] != RejectReason.NOT_CHOSEN)]
    return [
        ListedTrace(
            row["trace_id"],
            row["origin"],
            f"traces/{shard:05d}/{row['trace_id'] or f'unreadable-{rank}'}.html",
        )
        for rank, row in enumerate(rows)
    ]
