"""Takes the traces of a shard through consecutive stages, each independently of the others."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.llm.admission import ShardAdmission
from pipeline.llm.session import or_failed, together
from pipeline.run.outcomes import Done, Outcome, ShardResult, collect
from pipeline.stages.stage import Row, Stage, TraceWork


@dataclass
class Step:
    """A stage at work on a shard. on_trace: sees the outcome of each trace that came to it.

    seconds: during which any trace was in it; those of a journey's steps overlap, and the time in which all
    traces were in other steps, or waited to begin, is none of them. seconds_by_rank: from each trace's coming
    to its leaving.
    """

    stage: Stage
    work: TraceWork
    on_trace: Callable[[Outcome], None] = lambda outcome: None
    counters: Counter[str] = field(default_factory=Counter)
    seconds_by_rank: dict[int, float] = field(default_factory=dict, init=False)
    seconds: float = field(default=0.0, init=False)
    _traces: int = field(default=0, init=False)
    _since: float = field(default=0.0, init=False)

    async def take(self, rank: int, row: Row) -> Outcome:
        """What becomes of a trace; rank: its number in the shard."""
        came = time.monotonic()
        if not self._traces:
            self._since = came
        self._traces += 1
        read = {name: row[name] for name in self.stage.reads}
        outcome = await or_failed(self.work(rank, read, self.counters))
        left = time.monotonic()
        self._traces -= 1
        if not self._traces:
            self.seconds += left - self._since
        self.seconds_by_rank[rank] = left - came
        self.on_trace(outcome)
        return outcome


async def travel(
    rows: pa.Table, steps: Sequence[Step], admission: ShardAdmission | None = None
) -> list[ShardResult]:
    """The result of each step; a trace stops at the first step in which it is not done.

    A trace goes on to the next step by itself, so that the engine still has its beginning in the prefix
    cache when its mementos are asked for, however many traces the shard has. admission: how many travel at
    once, by their tokens; None where no step asks a model.
    """
    columns = [name for name in rows.column_names if any(name in step.stage.reads for step in steps)]
    read = rows.select(columns)
    sizes = _tokens(rows) if admission is not None else [0] * rows.num_rows

    async def one(rank: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        async with admission.admitted(rank, sizes[rank]) if admission is not None else nullcontext():
            # Made only now: a shard's traces as Python objects take many times the room of their table.
            (row,) = read.slice(rank, 1).to_pylist()
            for step in steps:
                outcome = await step.take(rank, row)
                outcomes.append(outcome)
                if not isinstance(outcome, Done):
                    break
                row |= outcome.added
        return outcomes

    ended = await together(one(rank) for rank in range(rows.num_rows))
    results = []
    for number, step in enumerate(steps):
        outcomes = [passed[number] for passed in ended if len(passed) > number]
        results.append(collect(step.stage.name, rows, step.stage.adds, outcomes, step.counters))
        rows = results[-1].done
    return results


def _tokens(rows: pa.Table) -> list[int]:
    """Tokens of each trace's reasoning."""
    return [sum(tokens.as_py()) for tokens in rows.column("sentence_tokens")]
