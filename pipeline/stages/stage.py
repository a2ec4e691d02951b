"""The declaration of a stage: its columns, its function of a trace, what makes its result stale."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.config import BuildConfig
from pipeline.llm.session import LlmSession
from pipeline.run.outcomes import Outcome

# A trace as plain Python: the columns that the stage reads, by name.
Row = dict[str, Any]
# What a stage does to one trace: its number in the shard, its row, counters to add to.
TraceWork = Callable[[int, Row, Counter[str]], Awaitable[Outcome]]


@dataclass(frozen=True)
class Stage:
    """A stage, declared in one place.

    begin gives what the stage does to each trace of a shard under this config; it gets a model only where
    `asks` says that the stage needs one. config gives the part of the build that the result depends on, as
    plain JSON data: when it changes, or `version` is raised, or the input's bytes change, the stage runs
    again. prompts: the templates ("judge@2") that it asks with.
    """

    name: str
    verb: str
    reads: tuple[str, ...]
    adds: pa.Schema
    begin: Callable[[BuildConfig, LlmSession | None], TraceWork]
    config: Callable[[BuildConfig], Any]
    version: int
    asks: Callable[[BuildConfig], bool] = lambda build: False
    prompts: Callable[[BuildConfig], list[str]] = lambda build: []
