"""One stage over a table of traces, as a run takes it there."""

import asyncio
from typing import Any

import pyarrow as pa

from pipeline.config import BuildConfig
from pipeline.llm.session import LlmSession
from pipeline.run.outcomes import ShardResult
from pipeline.stages.run_traces import Step, travel
from pipeline.stages.stage import Stage


async def passed(
    stage: Stage, rows: pa.Table, session: LlmSession | None = None, **config: Any
) -> ShardResult:
    """What a stage makes of the rows; config: sections of the build."""
    build = BuildConfig(name="test", **config)
    (result,) = await travel(rows, [Step(stage, stage.begin(build, session))])
    return result


def through(stage: Stage, rows: pa.Table, session: LlmSession | None = None, **config: Any) -> ShardResult:
    """The same, in an event loop of its own."""
    return asyncio.run(passed(stage, rows, session, **config))
