"""A waiter that another thread can wake: for locks shared by several event loops."""

import asyncio
import threading
from collections.abc import Callable


class Waiter:
    """One waiting coroutine; another thread may wake it.

    lock: held by whoever gives turns while it does; `gone` and `given` change only under it.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._come = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._given = False
        self.gone = False

    def give(self) -> None:
        """Wakes the coroutine. Only where it is not `gone`: then its loop has not ended."""
        self._given = True
        self._loop.call_soon_threadsafe(self._come.set)

    async def wait(self, give_back: Callable[[], None]) -> None:
        """Returns when the turn has come. Cancelled, calls give_back where it had come already."""
        try:
            await self._come.wait()
        except asyncio.CancelledError:
            with self._lock:
                self.gone = True
                had_come = self._given
            if had_come:
                give_back()
            raise
