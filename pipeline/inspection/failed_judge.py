"""The traces of a run with mementos that did not pass their judge: which blocks, and what they lack."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from pipeline.inspection.page import plain
from pipeline.inspection.traces import TraceLine, lines_of_shard, shards, stages_reached
from pipeline.mementos.writing import MEMENTOS
from pipeline.records.quality import Shortfall, shortfalls
from pipeline.run.store import RunFolder


@dataclass(frozen=True)
class FailedJudge:
    """A trace, and those of its mementos that did not pass."""

    line: TraceLine
    mementos: list[Shortfall]

    def as_json(self) -> dict[str, Any]:
        """The trace's line, its failed mementos in place of its number of blocks."""
        return {**asdict(self.line), "failed_mementos": [asdict(one) for one in self.mementos]}


def failed_judge(run: RunFolder, threshold: int) -> Iterator[FailedJudge]:
    """Traces whose mementos are written and did not all pass, published or not, in the order of the list.

    threshold: judge's points that pass.
    """
    for shard in shards(run):
        if MEMENTOS.name not in stages_reached(run, shard):
            continue
        rows = run.read(MEMENTOS.name, shard, ["trace_id", "mementos"]).to_pylist()
        short = {row["trace_id"]: shortfalls(row["mementos"], threshold) for row in rows}
        for line in lines_of_shard(run, shard):
            if found := short.get(line.trace_id):
                yield FailedJudge(line, found)


def failed_table(found: Iterable[FailedJudge]) -> Table:
    """One row per memento."""
    shown = Table(box=None, header_style="bold")
    shown.add_column("trace", no_wrap=True)
    for name in ("domain", "state", "block", "points", "rounds"):
        shown.add_column(name, justify="right" if name in ("block", "points", "rounds") else "left")
    shown.add_column("missing", overflow="fold")
    for one in found:
        for memento in one.mementos:
            shown.add_row(
                Text(one.line.trace_id),
                Text(one.line.domain or ""),
                Text(one.line.state),
                str(memento.block),
                "–" if memento.score is None else str(memento.score),
                str(memento.rounds),
                plain(memento.lacks),
            )
    return shown
