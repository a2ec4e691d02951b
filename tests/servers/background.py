"""An aiohttp application on a port of this machine, in a thread of its own, as long as a `with` block."""

import asyncio
import threading
from typing import Self

from aiohttp import web


class Background:
    """What serves `app()` inside `with`; `port` 0 means any free one, and holds the real one once it is up.

    Coroutines of the application may wait for `stop`, which is set when the block ends.
    """

    port: int

    def app(self) -> web.Application:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._up = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._thread.start()
        self._up.wait()
        if self._failure:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self.stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._failure = error
            self._up.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.stop = asyncio.Event()
        runner = web.AppRunner(self.app(), shutdown_timeout=0.1, access_log=None, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True)
            await site.start()
            self.port = runner.addresses[0][1]
            self._up.set()
            await self.stop.wait()
        finally:
            await runner.cleanup()
