"""Computes what a run is doing from its manifests and progress files, wherever its shards are worked on."""

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.config import BuildConfig
from pipeline.files.damage import DamageError
from pipeline.run.progress import ShardCounts, read_counts
from pipeline.run.rates import Moved, Rates
from pipeline.run.stage_sum import StageSum
from pipeline.run.status import StageStatus, State, Status
from pipeline.run.store import Manifest, RunFolder
from pipeline.run.totals import cost_of
from pipeline.stages.registry import INGEST, JOURNEYS, STAGES, config_digests, current_manifest
from pipeline.stages.stage import Stage


@dataclass
class _Shard:
    """A shard that is not through all stages. rows: that come to the stage after the finished ones.

    looked: whether the next stage's manifest is known not to hold; then only this run can change that.
    """

    rows: int
    finished: int = 0
    looked: bool = False
    counts: dict[str, ShardCounts] = field(default_factory=dict)


class StatusReader:
    """Reads how far a run is; remembers finished shards, so that a look costs little.

    Before `shards_known` there are no stages to tell of: what lies in the folder may be of another selection,
    or damaged. clock: seconds, for rates.
    """

    def __init__(
        self, run: RunFolder, build: BuildConfig, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run = run
        self._build = build
        self._clock = clock
        self._digests = config_digests(build)
        self._started_at = _utc()
        self._shards: int | None = None
        self._open: dict[int, _Shard] | None = None
        self._finished = {stage.name: StageSum() for stage in STAGES}
        self._rates = {stage.name: Rates() for stage in STAGES}

    def shards_known(self, shards: int) -> None:
        """Says that ingest is done and has left so many shards, and that what was damaged is set aside."""
        self._shards = shards

    def read(self, state: State = "working", error: str = "") -> Status:
        """What the run is doing now. Nothing runs any more where the state is another than working."""
        sums = self._sums() if self._shards is not None else {}
        now = self._clock()
        stages = tuple(self._stage(stage, sums[stage.name], now, state) for stage in STAGES if sums)
        usage: dict[str, Counter[str]] = {}
        for summed in sums.values():
            for purpose, used in summed.usage.items():
                usage.setdefault(purpose, Counter()).update(used)
        return Status(
            name=self._build.name,
            state=state,
            step=self._run.step(),
            error=error,
            started_at=self._started_at,
            at=_utc(),
            cost=cost_of(self._build, usage),
            stages=stages,
        )

    def _stage(self, stage: Stage, summed: StageSum, now: float, state: State) -> StageStatus:
        rates = self._rates[stage.name]
        rates.note(now, summed.own, begun=summed.own != Moved() or summed.running > 0)
        rate = rates.traces()
        left = summed.expected - summed.done
        prompt_rate, completion_rate = rates.tokens()
        prompt_tokens, cached_tokens = summed.total("prompt_tokens"), summed.total("cached_tokens")
        return StageStatus(
            name=stage.name,
            verb=stage.verb,
            done=summed.done,
            expected=summed.expected,
            rejected=summed.rejected,
            failed=summed.failed,
            begun=summed.begun,
            at_work=summed.at_work and state == "working",
            rate=round(rate, 6),
            eta_seconds=round(left / rate, 1) if rate and left > 0 else None,
            running=summed.running if state == "working" else 0,
            prompt_tokens_per_second=round(prompt_rate, 1),
            completion_tokens_per_second=round(completion_rate, 1),
            cached_share=round(cached_tokens / prompt_tokens, 4) if prompt_tokens else None,
            requests=summed.total("requests"),
            prompt_tokens=prompt_tokens,
            cached_tokens=cached_tokens,
            completion_tokens=summed.total("completion_tokens"),
        )

    def _sums(self) -> dict[str, StageSum]:
        if self._open is None:
            given = ((shard, self._run.read_manifest(INGEST, shard)) for shard in range(self._shards or 0))
            self._open = {shard: _Shard(made.rows_out) for shard, made in given if made is not None}
        names = self._progress_files()
        for number, shard in list(self._open.items()):
            self._look_at(number, shard, names)
            if shard.finished == len(STAGES):
                del self._open[number]
        sums = {name: finished.copy() for name, finished in self._finished.items()}
        for shard in self._open.values():
            _add_open(sums, shard)
        return sums

    def _progress_files(self) -> set[str]:
        """Names of the progress files: far fewer than the shards that have none yet."""
        try:
            with os.scandir(self._run.step_file.parent) as entries:
                return {entry.name for entry in entries}
        except FileNotFoundError:
            return set()

    def _look_at(self, number: int, shard: _Shard, names: set[str]) -> None:
        """Brings what is known of a shard up to date."""
        while shard.finished < len(STAGES):
            stage = STAGES[shard.finished]
            self._read_counts(stage, number, shard, names)
            counts = shard.counts.get(stage.name)
            made = self._made(stage, number, counts, looked=shard.looked)
            if made is None:
                shard.looked = True
                break
            self._finished[stage.name].add_finished(made, own=counts is not None)
            shard.counts.pop(stage.name, None)
            shard.rows = made.rows_out
            shard.finished += 1
            shard.looked = False
        for stage in _later_on_the_journey(shard.finished):
            self._read_counts(stage, number, shard, names)

    def _read_counts(self, stage: Stage, number: int, shard: _Shard, names: set[str]) -> None:
        path = self._run.progress(stage.name, number)
        if path.name in names and (counts := read_counts(path)) is not None:
            shard.counts[stage.name] = counts

    def _made(
        self, stage: Stage, number: int, counts: ShardCounts | None, *, looked: bool
    ) -> Manifest | None:
        """The manifest of a shard that the stage has finished, in this run or before it."""
        try:
            if counts is not None:
                # Also with failed traces, which the next run tries again.
                return self._run.read_manifest(stage.name, number) if counts.ended else None
            return None if looked else current_manifest(self._run, self._digests, stage, number)
        except DamageError:
            return None  # the run at work will make it anew


def _later_on_the_journey(number: int) -> tuple[Stage, ...]:
    """The stages after the one of this number that a trace comes to without waiting for its shard."""
    for journey in JOURNEYS:
        if number < len(journey):
            return journey[number + 1 :]
        number -= len(journey)
    return ()


def _add_open(sums: dict[str, StageSum], shard: _Shard) -> None:
    """Adds what has left each stage so far, and what is known to come to it."""
    come = expected = shard.rows
    for stage in STAGES[shard.finished :]:
        summed, counts = sums[stage.name], shard.counts.get(stage.name)
        summed.expected += expected
        if counts is None:
            come = 0
            continue
        summed.add_at_work(counts)
        summed.at_work = summed.at_work or come > counts.out
        come = counts.done
        expected -= counts.rejected + counts.failed


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
