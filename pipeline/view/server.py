"""The server: answers on a socket until it is told to stop, broken requests with the same headers, too."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from pipeline.view.answers import Answer
from pipeline.view.freshness import Freshness
from pipeline.view.headers import harden

# For answers that are on their way; a browser's idle connections are closed at once.
_STOP_SECONDS = 5.0
# A client that has left, or sends what is no HTTP.
_OF_CLIENTS = (ConnectionError, HttpProcessingError)


async def serve_until_stopped(listener: socket.socket, answer: Answer, freshness: Freshness) -> None:
    """Serves, and keeps the report fresh, until SIGINT or SIGTERM. Only in the main thread."""
    stopped = asyncio.Event()
    for stop in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(stop, stopped.set)
    async with serving(listener, answer):
        keeping = asyncio.create_task(freshness.keep())
        await stopped.wait()
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


@asynccontextmanager
async def serving(listener: socket.socket, answer: Answer) -> AsyncIterator[None]:
    """Serves on a listening socket as long as the body runs."""
    # Of a request that is refused unread, no more is read: `answers` reads what it wants to know.
    server = _Server(answer, access_log=None, lingering_time=0.0)
    runner = web.ServerRunner(server, shutdown_timeout=_STOP_SECONDS)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()


class _Server(web.Server):
    """Makes connections whose every answer is hardened."""

    def __init__(self, answer: Answer, **options: Any) -> None:
        super().__init__(answer, **options)
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._options)


class _Connection(web.RequestHandler):
    """A connection: what is no HTTP, or breaks the server, never reaches `answers`, and is answered here."""

    __slots__ = ()

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Tells of a defect of this server with its traceback; of a client's, only to who debugs."""
        if isinstance(options.get("exc_info"), _OF_CLIENTS):
            self.log_debug(*args, **options)
        else:
            super().log_exception(*args, **options)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        answered = super().handle_error(request, status, exc, message)
        harden(answered)
        return answered
