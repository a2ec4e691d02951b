"""Consecutive stages over one shard: reads its file, takes the traces through, writes files and manifests."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

import pyarrow as pa

from pipeline.config import BuildConfig
from pipeline.llm.admission import ShardAdmission
from pipeline.llm.cache import ReplyCache
from pipeline.llm.client import Client
from pipeline.llm.client_thread import ClientThread
from pipeline.llm.model import Reply, Usage
from pipeline.llm.serving import ServedModel
from pipeline.llm.session import LlmSession
from pipeline.llm.templates import load_prompts
from pipeline.run.circuit_breaker import CircuitBreaker
from pipeline.run.effort import Effort, effort_of, write_effort
from pipeline.run.outcomes import Outcome, ShardResult
from pipeline.run.progress import ShardProgress, telling
from pipeline.run.store import Manifest, RunFolder, StoreError
from pipeline.stages.registry import config_digests, current_manifest, stage_before, stage_named
from pipeline.stages.run_traces import Step, travel
from pipeline.stages.stage import Stage

T = TypeVar("T")
_SECONDS_BETWEEN_LOOKS = 0.5


class Stopped(Exception):
    """The run was told to stop while the stages were at work; nothing of this shard was written."""


def run_stages(
    names: Sequence[str], shard: int, run: RunFolder, build: BuildConfig, served: ServedModel | None
) -> list[Manifest]:
    """The manifests of a shard after consecutive stages; made now, or from before where still current.

    Each trace goes from stage to stage by itself; the files are written when all have ended. served may be
    None where no stage that is left asks a model. Raises StoreError where the shard's input is not there,
    Stopped after `request_stop`, EndpointRefused where an endpoint will never answer, TooManyFailures where
    nearly every trace of the shard is lost.
    """
    digests = config_digests(build)
    manifests: list[Manifest] = []
    left = [stage_named(name) for name in names]
    while left and (current := current_manifest(run, digests, left[0], shard)) is not None:
        manifests.append(current)
        left = left[1:]
    if not left:
        return manifests
    name_before = stage_before(left[0])
    before = run.read_manifest(name_before, shard)
    if before is None:
        raise StoreError(f"{run.root}: shard {shard} has no result of {name_before} to {left[0].verb}")
    rows = run.read(name_before, shard)
    columns = set(rows.column_names).union(*(stage.adds.names for stage in left))
    if missing := {name for stage in left for name in stage.reads} - columns:
        raise StoreError(f"{run.shard(name_before, shard)}: columns {sorted(missing)} are missing")
    rows_in = rows.num_rows
    work = _take_through(rows, left, shard, run, build, served)
    trace_ids = rows.column("trace_id")
    for stage, made in zip(left, asyncio.run(until_stopped(run, work)), strict=True):
        if made.efforts is None:
            run.effort(stage.name, shard).unlink(missing_ok=True)
        else:
            efforts = {trace_ids[rank].as_py(): effort for rank, effort in made.efforts.items()}
            write_effort(run, stage.name, shard, efforts)
        before = run.write(
            stage.name,
            shard,
            made.result,
            rows_in=rows_in,
            input=before.output,
            config=digests[stage.name],
            version=stage.version,
            usage=made.usage,
            seconds=made.seconds,
            prompts=stage.prompts(build),
        )
        made.progress.end()
        rows_in = before.rows_out
        manifests.append(before)
    return manifests


def request_stop(run: RunFolder) -> None:
    """Tells every stage at work on this run, in whatever process, to stop."""
    run.stop_file.touch()


def allow_start(run: RunFolder) -> None:
    """Undoes an earlier `request_stop`."""
    run.stop_file.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Made:
    """What a stage made of the shard, what was asked for it and how long it took.

    efforts: what each trace took, by its rank; None of a stage that asks no model. progress: to be ended.
    """

    result: ShardResult
    usage: dict[str, Usage]
    seconds: float
    efforts: dict[int, Effort] | None
    progress: ShardProgress


async def _take_through(
    rows: pa.Table,
    stages: Sequence[Stage],
    shard: int,
    run: RunFolder,
    build: BuildConfig,
    served: ServedModel | None,
) -> list[_Made]:
    admission = None
    if asking_stages := [stage.name for stage in stages if stage.asks(build)]:
        if served is None:
            raise ValueError(f"{', '.join(asking_stages)}: these stages need a model, and none is served")
        admission = ShardAdmission(served.admission)
    clients: dict[str, ClientThread] = {}
    asked: dict[str, dict[int, Effort]] = {}
    steps: list[Step] = []
    progress: list[ShardProgress] = []
    async with AsyncExitStack() as open_clients:
        for stage in stages:
            session = None
            counters: Counter[str] = Counter()
            if served is not None and admission is not None and stage.asks(build):
                at_hand = model_at_hand(stage, shard, run, build, served, admission)
                session, clients[stage.name] = await open_clients.enter_async_context(at_hand)
                asked[stage.name] = {}
                session = replace(session, on_reply=_adding_to(asked[stage.name], counters))
            progress.append(ShardProgress(run, stage.name, shard, clients.get(stage.name)))
            steps.append(Step(stage, stage.begin(build, session), _watched(progress[-1], build), counters))
        async with telling(progress):
            results = await travel(rows, steps, admission)
    return [
        _Made(
            result,
            clients[step.stage.name].usage if step.stage.name in clients else {},
            step.seconds,
            _efforts(step, asked[step.stage.name]) if step.stage.name in asked else None,
            told,
        )
        for step, result, told in zip(steps, results, progress, strict=True)
    ]


def _adding_to(asked: dict[int, Effort], counters: Counter[str]) -> Callable[[int, Reply], None]:
    """Counts what each trace took, and the replies that were not as asked for."""

    def add(rank: int, reply: Reply) -> None:
        asked[rank] = asked.get(rank, Effort()) + effort_of(reply)
        counters.update(deviation.counter for deviation in reply.deviations)

    return add


def _efforts(step: Step, asked: dict[int, Effort]) -> dict[int, Effort]:
    """By rank, what each trace that came to a step took there."""
    return {
        rank: replace(asked.get(rank, Effort()), seconds=round(seconds, 3))
        for rank, seconds in sorted(step.seconds_by_rank.items())
    }


def _watched(progress: ShardProgress, build: BuildConfig) -> Callable[[Outcome], None]:
    """Counts the traces of a stage, and stops the run where nearly all are lost."""
    failures = CircuitBreaker(build.max_failure_rate)

    def saw(outcome: Outcome) -> None:
        progress.saw(outcome)
        failures.saw(outcome)

    return saw


@asynccontextmanager
async def model_at_hand(
    stage: Stage,
    shard: int,
    run: RunFolder,
    build: BuildConfig,
    served: ServedModel,
    admission: ShardAdmission,
) -> AsyncIterator[tuple[LlmSession, ClientThread]]:
    """A session and client for a stage that asks a model; replies are kept in the run folder."""
    with ReplyCache(run.replies(stage.name, shard)) as cache:
        asking = Client(build.llm, served.endpoints, served.model, cache, served.notices)
        async with ClientThread(asking) as client:
            session = LlmSession(
                model=client,
                prompts=load_prompts(),
                window=await client.context_window(),
                seed=build.llm.seed,
                slots=served.slots,
                shard=shard,
                admission=admission,
            )
            yield session, client


async def until_stopped(run: RunFolder, work: Awaitable[T]) -> T:
    """The result of `work`, given up as soon as the run is told to stop."""
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.wait({task}, timeout=_SECONDS_BETWEEN_LOOKS)
        if not task.done() and run.stop_file.exists():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            raise Stopped(f"{run.root}: stopped; run again to go on")
    return task.result()
