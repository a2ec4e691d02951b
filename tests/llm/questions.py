"""Requests and a client for the tests of this room."""

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.config import LlmConfig
from pipeline.llm.cache import ReplyCache
from pipeline.llm.client import Client
from pipeline.llm.model import Choice, Constraint, JsonReply, Message, Reply, Request, Text, Usage

LABEL = "trace 1f2e, block 3"


class Grades(BaseModel):
    """A judge's reply."""

    model_config = ConfigDict(extra="forbid")

    formulas: int = Field(ge=0, le=3)
    missing: list[str] = Field(max_length=2)


DIGIT = Choice(("0", "1", "2", "3"))
GRADES = JsonReply(Grades)
TEXT = Text(forbidden=("<|block_start|>",))


def question(
    constraint: Constraint = TEXT,
    content: str = "The sum of 17 primes is 440, because each divides the product.",
    *,
    temperature: float = 0.0,
    seed: int = 7,
    max_tokens: int = 64,
    home: str | None = None,
) -> Request:
    """A request about a small text."""
    messages = (Message("system", "You write notes."), Message("user", content))
    return Request(messages, constraint, max_tokens, temperature, seed, "compress", LABEL, home)


def ask(
    endpoint: str | Sequence[str],
    *requests: Request,
    cache: ReplyCache | None = None,
    model: str = "stub",
    **config: Any,
) -> list[Reply]:
    """The replies to requests that are asked at once; the first error is raised."""
    return ask_and_count(endpoint, *requests, cache=cache, model=model, **config)[0]


def ask_and_count(
    endpoint: str | Sequence[str],
    *requests: Request,
    cache: ReplyCache | None = None,
    model: str = "stub",
    **config: Any,
) -> tuple[list[Reply], Usage]:
    """The replies to requests that are asked at once, and the client's totals."""
    endpoints = [endpoint] if isinstance(endpoint, str) else endpoint

    async def run() -> tuple[list[Reply], Usage]:
        async with Client(LlmConfig(**config), endpoints, model, cache) as client:
            replies = await asyncio.gather(*(client.ask(request) for request in requests))
            return list(replies), sum(client.usage.values(), Usage())

    return asyncio.run(run())
