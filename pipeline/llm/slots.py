"""Room for a number of open requests, given to the lowest rank first."""

import asyncio
import heapq
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

Rank = tuple[int, ...]


class Slots:
    """A semaphore whose waiters are served by rank, equal ranks in the order they came.

    With the numbers of shard and trace as rank, a trace's later requests (judge, refine) go out before
    another trace's first ones, while its beginning is still in the engine's prefix cache; and shards end one
    after the other. For all event loops of a process: a run's shards, each with a loop of its own, share the
    room, so that the last one has all of it.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._free = number
        self._waiting: list[_Waiter] = []
        self._arrivals = count()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["Slots"], tuple[int]]:
        """In another process it is that process's own room."""
        return Slots, (self._number,)

    @asynccontextmanager
    async def taken(self, rank: Rank) -> AsyncIterator[None]:
        """Holds a slot for the body."""
        await self._take(rank)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, rank: Rank) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            waiter = _Waiter(rank, next(self._arrivals), asyncio.Event(), asyncio.get_running_loop())
            heapq.heappush(self._waiting, waiter)
        try:
            await waiter.turn.wait()
        except asyncio.CancelledError:
            with self._lock:
                waiter.gone = True
                had_one = waiter.served
            if had_one:
                # The slot was handed over before the waiter could run: pass it on.
                self._give_back()
            raise

    def _give_back(self) -> None:
        # A loop ends only after its waiters, which say so under the same lock: none is called that has ended.
        with self._lock:
            while self._waiting:
                waiter = heapq.heappop(self._waiting)
                if not waiter.gone:
                    waiter.served = True
                    waiter.loop.call_soon_threadsafe(waiter.turn.set)
                    return
            self._free += 1


@dataclass(order=True)
class _Waiter:
    rank: Rank
    arrival: int
    turn: asyncio.Event = field(compare=False)
    loop: asyncio.AbstractEventLoop = field(compare=False)
    served: bool = field(default=False, compare=False)
    gone: bool = field(default=False, compare=False)
