"""One stage over one shard: reads its file, does the work, writes file and manifest; nothing if current."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import pyarrow as pa

from pipeline.config import BuildConfig
from pipeline.failing import FailureWatch
from pipeline.llm.asking import Asking
from pipeline.llm.cache import ReplyCache
from pipeline.llm.client import Client
from pipeline.llm.model import Usage
from pipeline.llm.serving import Served
from pipeline.llm.templates import load_prompts
from pipeline.mementos.writing import write_mementos_shard
from pipeline.outcomes import ShardResult
from pipeline.progress import ShardProgress
from pipeline.records.records import RECORDS, records_shard
from pipeline.segmentation.cutting import PARTITION, partition_shard
from pipeline.segmentation.scoring import SCORE, score_shard
from pipeline.segmentation.splitting import SPLIT, split_shard
from pipeline.stage import Stage
from pipeline.stages import config_digests, current_manifest, stage_before, stage_named
from pipeline.store import Manifest, RunFolder, StoreError

T = TypeVar("T")
_SECONDS_BETWEEN_LOOKS = 0.5


class Stopped(Exception):
    """The run was told to stop while the stage was at work; nothing of this shard was written."""


def run_stage(name: str, shard: int, run: RunFolder, build: BuildConfig, served: Served | None) -> Manifest:
    """The manifest of a shard after a stage; made now, or from before where it is still current.

    served may be None where the stage asks no model. Raises StoreError where the shard's input is not
    there, Stopped after `request_stop`, EndpointRefused where an endpoint will never answer, TooManyFailures
    where nearly every trace of the shard is lost.
    """
    stage = stage_named(name)
    digests = config_digests(build)
    done = current_manifest(run, digests, stage, shard)
    if done is not None:
        return done
    before = run.read_manifest(stage_before(stage), shard)
    if before is None:
        raise StoreError(f"{run.root}: shard {shard} has no result of {stage_before(stage)} to {stage.verb}")
    started = time.monotonic()
    rows = run.read(stage_before(stage), shard)
    if missing := set(stage.reads) - set(rows.column_names):
        raise StoreError(f"{run.shard(stage_before(stage), shard)}: columns {sorted(missing)} are missing")
    result, usage = _work(stage, shard, rows, run, build, served)
    return run.write(
        stage.name,
        shard,
        result,
        rows_in=rows.num_rows,
        input=before.output,
        config=digests[stage.name],
        version=stage.version,
        usage=usage,
        seconds=time.monotonic() - started,
        prompts=stage.prompts(build),
    )


def request_stop(run: RunFolder) -> None:
    """Tells every stage at work on this run, in whatever process, to stop."""
    run.stop_file.touch()


def allow_start(run: RunFolder) -> None:
    """Takes back an earlier `request_stop`."""
    run.stop_file.unlink(missing_ok=True)


def _work(
    stage: Stage, shard: int, rows: pa.Table, run: RunFolder, build: BuildConfig, served: Served | None
) -> tuple[ShardResult, dict[str, Usage]]:
    if stage is SPLIT:
        return split_shard(rows, build.split), {}
    if stage is PARTITION:
        return partition_shard(rows, build.partition), {}
    if stage is RECORDS:
        return records_shard(rows), {}
    progress = ShardProgress(run, stage.name, shard)

    async def ask(asking: Asking | None) -> ShardResult:
        if stage is SCORE:
            return await score_shard(rows, build.score, asking, progress.advance)
        if asking is None:
            raise ValueError(f"stage {stage.name} needs a model")
        return await write_mementos_shard(
            rows, build.mementos, build.split.tokenizer, asking, progress.advance
        )

    try:
        if not stage.asks(build):
            return asyncio.run(ask(None)), {}
        if served is None:
            raise ValueError(f"stage {stage.name} needs a model, and none is served")
        return asyncio.run(until_stopped(run, with_model(stage, shard, run, build, served, ask)))
    finally:
        progress.finish()


async def with_model(
    stage: Stage,
    shard: int,
    run: RunFolder,
    build: BuildConfig,
    served: Served,
    ask: Callable[[Asking], Awaitable[ShardResult]],
) -> tuple[ShardResult, dict[str, Usage]]:
    """What `ask` makes of a shard with a model at hand, and what that took; `run` keeps the replies."""
    with ReplyCache(run.replies(stage.name, shard)) as cache:
        async with Client(build.llm, served.endpoints, served.model, cache) as client:
            asking = Asking(
                model=client,
                prompts=load_prompts(),
                window=await client.context_window(),
                seed=build.llm.seed,
                slots=served.slots,
                shard=shard,
                failures=FailureWatch(build.max_failure_rate),
            )
            return await ask(asking), client.usage


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
