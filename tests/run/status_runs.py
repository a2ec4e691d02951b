"""Run folders in which stages are at work, put together by hand."""

from collections.abc import Sequence

import pyarrow as pa

from pipeline.config import BuildConfig
from pipeline.files.atomic import write_json
from pipeline.llm.model import Usage
from pipeline.run.outcomes import Done, Failed, Outcome, Rejected, RejectReason, collect
from pipeline.run.progress import ShardCounts
from pipeline.run.status import StageStatus, Status
from pipeline.run.store import RunFolder
from pipeline.stages.registry import INGEST, STAGES, config_digests, stage_before, stage_named

DONE = Done({})
REJECTED = Rejected(RejectReason.LANGUAGE, "zh")
FAILED = Failed("down")
PRICED = BuildConfig.model_validate(
    {
        "name": "small",
        "llm": {"price_per_million_prompt_tokens": 1.0, "price_per_million_completion_tokens": 10.0},
    }
)

# A stage that asks, in the middle of its work.
MEMENTOS = StageStatus(
    name="mementos",
    verb="write mementos",
    done=3,
    expected=20,
    rejected=1,
    failed=0,
    begun=True,
    at_work=True,
    rate=0.7 / 60,
    eta_seconds=24 * 60 + 10,
    running=24,
    prompt_tokens_per_second=1_810.4,
    completion_tokens_per_second=96.2,
    cached_share=0.714,
    requests=60,
    prompt_tokens=90_000,
    cached_tokens=64_260,
    completion_tokens=4_000,
)


def ingested(run: RunFolder, *sizes: int) -> None:
    """Shards of so many traces, read and selected."""
    for shard, size in enumerate(sizes):
        result = collect(INGEST, rows(size), pa.schema([]), [DONE] * size)
        run.write(INGEST, shard, result, rows_in=size, input="", config="", version=1, usage={}, seconds=1)


def finished(
    run: RunFolder, stage: str, shard: int, outcomes: Sequence[Outcome], usage: Usage | None = None
) -> None:
    """A shard that a stage of `PRICED` has finished, after the one before it."""
    before = run.read_manifest(stage_before(stage_named(stage)), shard)
    assert before is not None
    run.write(
        stage,
        shard,
        collect(stage, rows(len(outcomes)), pa.schema([]), outcomes),
        rows_in=len(outcomes),
        input=before.output,
        config=config_digests(PRICED)[stage],
        version=stage_named(stage).version,
        usage={"judge": usage} if usage else {},
        seconds=1,
    )


def at_work(run: RunFolder, stage: str, shard: int, counts: ShardCounts) -> None:
    """A shard that a stage is working on."""
    write_json(counts.as_json(), run.progress(stage, shard))


def of(status: Status, name: str) -> StageStatus:
    """One stage of a status."""
    (found,) = (stage for stage in status.stages if stage.name == name)
    return found


def traces(status: Status) -> dict[str, tuple[int, int]]:
    """By stage, traces that have left it and those that come to it."""
    assert len(status.stages) == len(STAGES)
    return {stage.name: (stage.done, stage.expected) for stage in status.stages}


def rows(count: int) -> pa.Table:
    return pa.table({"trace_id": [f"t{i}" for i in range(count)], "origin": ["f"] * count})
