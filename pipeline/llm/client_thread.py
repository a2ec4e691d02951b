"""The client in a thread of its own: replies reach the disk while other code keeps the caller busy."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from pipeline.llm.client import Client
from pipeline.llm.model import Reply, Request, Usage

T = TypeVar("T")


class ClientThread:
    """A client at work on an event loop in a thread of its own; used as the client is, from another loop.

    A stage renders prompts and checks mementos on its loop, milliseconds at a time, and so do seven other
    shards in this process. Here nothing stands between an answer that has come and its line in the file but
    the interpreter's lock: after `kill -9` few answers are asked for again, those that waited for the lock or
    were still in a buffer of the system (`python -m benchmarks.asked_twice` counts them).
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="replies", daemon=True)

    @property
    def is_at_work(self) -> bool:
        return self._thread.is_alive()

    @property
    def usage(self) -> dict[str, Usage]:
        return self._client.usage

    @property
    def running(self) -> int:
        return self._client.running

    async def __aenter__(self) -> Self:
        self._thread.start()
        await self._there(self._client.__aenter__())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._there(self._client.__aexit__(kind, error, trace))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def context_window(self) -> int | None:
        return await self._there(self._client.context_window())

    async def ask(self, request: Request) -> Reply:
        return await self._there(self._client.ask(request))

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return await asyncio.wrap_future(future)
