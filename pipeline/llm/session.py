"""A stage's session with a model: the client, the prompts, the concurrency limit; errors become outcomes."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pipeline.config import LlmConfig
from pipeline.llm.admission import ShardAdmission
from pipeline.llm.concurrency import ConcurrencyLimit
from pipeline.llm.model import (
    ContextTooLong,
    EndpointUnavailable,
    Model,
    Reply,
    ReplyError,
    Request,
    RequestRefused,
)
from pipeline.llm.templates import Prompts
from pipeline.run.outcomes import Failed, Outcome, Rejected, RejectReason

T = TypeVar("T")


@dataclass(frozen=True)
class LlmSession:
    """A model, the prompts it is asked with, and how many questions may be open at once.

    window: tokens the model can see, None where unknown. slots bounds what is in memory: a prompt is
    rendered only once it may be sent; shard: whose requests these are. admission: knows at which endpoint
    a trace is at work. on_reply: sees each reply with the rank of the trace that it is for.
    """

    model: Model
    prompts: Prompts
    window: int | None
    seed: int
    slots: ConcurrencyLimit
    shard: int = 0
    admission: ShardAdmission | None = None
    on_reply: Callable[[int, Reply], None] = lambda rank, reply: None

    async def ask(self, request: Callable[[], Request], rank: int) -> Reply:
        """The reply to a request that is made as soon as there is room for it; rank: the trace's number."""
        async with self.slots.slot(self.shard, rank):
            home = self.admission.endpoint(rank) if self.admission is not None else None
            reply = await self.model.ask(replace(request(), home=home))
        self.on_reply(rank, reply)
        return reply

    def seed_of(self, *names: object) -> int:
        """A seed that depends on the run's seed and on what is asked, not on when it is asked."""
        digest = hashlib.sha256(repr((self.seed, *names)).encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1


def what_replies_depend_on(config: LlmConfig) -> dict[str, Any]:
    """The part of the config that another reply may come from, as plain JSON data."""
    names = {"model", "seed", "sampling", "extra_body", "context_window", "constraints"}
    return config.model_dump(mode="json", include=names)


async def or_failed(work: Awaitable[Outcome]) -> Outcome:
    """The outcome of `work`; Failed where the model gave no usable reply, Rejected where none can be had.

    An endpoint that will never answer (EndpointRefused) is no outcome of a trace: it goes through.
    """
    try:
        return await work
    except ReplyError as error:
        return Failed(str(error), error.replies)
    except (EndpointUnavailable, RequestRefused) as error:
        return Failed(str(error))
    except ContextTooLong as error:
        return Rejected(RejectReason.TOO_LONG_FOR_MODEL, str(error))


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of coroutines that run at once, in their order; the first error ends them all."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    return [task.result() for task in tasks]


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
