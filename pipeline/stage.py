"""What a stage says of itself: its name, its columns, and what makes its result stale."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.config import BuildConfig


@dataclass(frozen=True)
class Stage:
    """A stage, declared in one place.

    config gives the part of the build that the result depends on, as plain JSON data: when it changes, or
    `version` is raised, or the input's bytes change, the stage runs again. asks says whether the stage
    needs a model under this config, prompts with which templates ("judge@2") it then asks.
    """

    name: str
    verb: str
    reads: tuple[str, ...]
    adds: pa.Schema
    config: Callable[[BuildConfig], Any]
    version: int
    asks: Callable[[BuildConfig], bool] = lambda build: False
    prompts: Callable[[BuildConfig], list[str]] = lambda build: []
