"""A recheck of a whole run: which traces, which shards are left, several of them at a time."""

import asyncio
import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import BuildConfig
from pipeline.files.atomic import value_digest, writing
from pipeline.inspection.traces import finished_rows, finished_shards
from pipeline.llm.admission import ShardAdmission
from pipeline.llm.model import Usage
from pipeline.llm.serving import ServedModel, Startup, model_name, starting
from pipeline.mementos.writing import MEMENTOS
from pipeline.recheck.folder import recheck_folder, rechecked_shards, rechecks_of
from pipeline.recheck.judging import RECHECK
from pipeline.run.circuit_breaker import CircuitBreaker, lost_traces
from pipeline.run.outcomes import Outcome, ShardResult
from pipeline.run.repair import repair
from pipeline.run.store import Manifest, RunFolder, StoreError, config_digest
from pipeline.stages.run_shard import allow_start, model_at_hand, request_stop, until_stopped
from pipeline.stages.run_traces import Step, travel

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Rechecked:
    """What a recheck came to. folder: where its verdicts lie; usage: by purpose, as manifests have it.

    errors: of the failed traces.
    """

    folder: RunFolder
    traces: int
    done: int
    rejected: dict[str, int]
    failed: int
    errors: Counter[str]
    usage: dict[str, Counter[str]]


def recheck(
    run: RunFolder, build: BuildConfig, *, limit: int | None, tell: Callable[[str], None], progress: Progress
) -> Rechecked:
    """Judges the kept mementos of a run's finished traces by this config, into a folder in RUN/rechecks.

    limit: most traces, chosen by their ids, which is by chance and the same every time; a higher limit keeps
    those of a lower one. What an earlier recheck of the run was answered is not asked again. progress(step,
    traces done, in total). Raises StoreError where nothing is finished or another process has the run;
    EndpointRefused, EndpointUnavailable, EngineError, TooManyFailures where the model does not judge.
    """
    with run.lock(otherwise=""):
        chosen = _chosen(run, limit)
        config = config_digest(RECHECK.config(build))
        folder = recheck_folder(run, model_name(build.llm), config)
        repair(folder, [RECHECK.name], tell)
        _Work(run, folder, build, chosen, config, tell, progress).do()
        for shard in set(rechecked_shards(folder)) - chosen.keys():
            # Judged under a higher limit; its replies stay.
            folder.manifest(RECHECK.name, shard).unlink()
        manifests = [m for shard in chosen if (m := folder.read_manifest(RECHECK.name, shard)) is not None]
    usage: dict[str, Counter[str]] = {}
    for manifest in manifests:
        for purpose, used in manifest.usage.items():
            usage.setdefault(purpose, Counter()).update(used)
    return Rechecked(
        folder=folder,
        traces=sum(m.rows_in for m in manifests),
        done=sum(m.rows_out for m in manifests),
        rejected=dict(sum((Counter(m.rejected) for m in manifests), Counter())),
        failed=sum(m.failed for m in manifests),
        errors=sum((lost_traces(folder, m) for m in manifests), Counter()),
        usage=usage,
    )


def _chosen(run: RunFolder, limit: int | None) -> dict[int, list[str]]:
    """Ids of the traces to judge, by shard; shards without any are left out."""
    ids = (
        (trace_id, shard)
        for shard in finished_shards(run)
        for trace_id in finished_rows(run, shard, ["trace_id"])["trace_id"].to_pylist()
    )
    chosen: dict[int, list[str]] = {}
    # An id is a digest of the trace, so that the smallest ones are a sample.
    for trace_id, shard in ids if limit is None else heapq.nsmallest(limit, ids):
        chosen.setdefault(shard, []).append(trace_id)
    if not chosen:
        raise StoreError(f"{run.root}: no trace is finished there, so there is nothing to judge; build first")
    return dict(sorted(chosen.items()))


@dataclass(frozen=True)
class _Work:
    run: RunFolder
    folder: RunFolder
    build: BuildConfig
    chosen: dict[int, list[str]]
    config: str
    tell: Callable[[str], None]
    progress: Progress

    def do(self) -> None:
        """Judges the shards whose verdicts do not hold yet."""
        left = [shard for shard in self.chosen if self._current(shard) is None]
        if not left:
            return
        home = rechecks_of(self.run)
        with writing(home.root):
            home.root.mkdir(exist_ok=True)
            allow_start(home)
        with starting(self.build.llm, self.folder.root / "engine.log", self.tell) as model:
            served = model.ready()
            with ThreadPoolExecutor(self.build.shards_at_once) as pool:
                try:
                    self._judge(left, pool, model, served)
                except BaseException:
                    request_stop(home)
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise

    def _judge(self, left: list[int], pool: ThreadPoolExecutor, model: Startup, served: ServedModel) -> None:
        watch = CircuitBreaker(self.build.max_failure_rate)
        count = _Count(self.progress, sum(len(self.chosen[shard]) for shard in left))
        waiting = {pool.submit(self._shard, shard, served, count.one) for shard in left}
        while waiting:
            # Looks up every second: a Ctrl-C that the system hands to another thread reaches this one then.
            ended, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
            model.check()
            for manifest in (future.result() for future in ended):
                watch.add(manifest.rows_in, lost_traces(self.folder, manifest))

    def _shard(self, shard: int, served: ServedModel, on_trace: Callable[[], None]) -> Manifest:
        started = time.monotonic()
        rows = self.run.read(MEMENTOS.name, shard)
        rows = rows.filter(pc.is_in(rows["trace_id"], pa.array(self.chosen[shard])))
        home = rechecks_of(self.run)
        failures = CircuitBreaker(self.build.max_failure_rate)

        def saw(outcome: Outcome) -> None:
            on_trace()
            failures.saw(outcome)

        async def judge() -> tuple[ShardResult, dict[str, Usage]]:
            admission = ShardAdmission(served.admission)
            async with model_at_hand(RECHECK, shard, home, self.build, served, admission) as (
                session,
                client,
            ):
                step = Step(RECHECK, RECHECK.begin(self.build, session), saw)
                (result,) = await travel(rows, [step], admission)
                return result, client.usage

        result, usage = asyncio.run(until_stopped(home, judge()))
        return self.folder.write(
            RECHECK.name,
            shard,
            result,
            rows_in=rows.num_rows,
            input=self._input(shard),
            config=self.config,
            version=RECHECK.version,
            usage=usage,
            seconds=time.monotonic() - started,
            prompts=RECHECK.prompts(self.build),
        )

    def _current(self, shard: int) -> Manifest | None:
        return self.folder.current(
            RECHECK.name, shard, input=self._input(shard), config=self.config, version=RECHECK.version
        )

    def _input(self, shard: int) -> str:
        """Digest of a shard's mementos and of the traces chosen among them."""
        mementos = self.run.read_manifest(MEMENTOS.name, shard)
        assert mementos is not None
        return value_digest([mementos.output, sorted(self.chosen[shard])])


class _Count:
    """Traces that have ended, over the threads of all shards."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def one(self) -> None:
        with self._lock:
            self._done += 1
            self._progress(RECHECK.verb, self._done, self._total)
