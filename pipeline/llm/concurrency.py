"""Limits concurrent requests, fairly among shards; within a shard the lowest rank goes first."""

import heapq
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from pipeline.llm.cross_thread_waiter import Waiter


class ConcurrencyLimit:
    """A semaphore across the event loops of a process: a run's shards, each with its own loop, share it.

    Where there are waiters, the shard with the fewest slots goes first, so that the last one has them all. Of
    its waiters the one of lowest rank does, equal ranks in the order they came: with the trace's number as
    rank, a trace's later requests (judge, refine) go out before another trace's first ones, while its
    beginning is still in the engine's prefix cache.

    Fairness is for memory, of which a thread keeps the most that it ever needed: with the first shard served
    first, 512 slots came to 1.8 GB over 1,500 traces, as each of 8 shards had had them all.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._free = number
        self._taken: Counter[int] = Counter()
        self._waiting: dict[int, list[tuple[int, int, Waiter]]] = {}
        self._arrivals = count()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["ConcurrencyLimit"], tuple[int]]:
        """Unpickled in another process, it is that process's own limit."""
        return ConcurrencyLimit, (self._number,)

    @asynccontextmanager
    async def slot(self, shard: int, rank: int) -> AsyncIterator[None]:
        """Holds a slot for the body."""
        await self._take(shard, rank)
        try:
            yield
        finally:
            self._give_back(shard)

    async def _take(self, shard: int, rank: int) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                self._taken[shard] += 1
                return
            turn = Waiter(self._lock)
            heapq.heappush(self._waiting.setdefault(shard, []), (rank, next(self._arrivals), turn))
        await turn.wait(lambda: self._give_back(shard))

    def _give_back(self, shard: int) -> None:
        with self._lock:
            self._taken[shard] -= 1
            self._free += 1
            while self._waiting:
                next_shard = min(self._waiting, key=lambda number: self._taken[number])
                _, _, turn = heapq.heappop(self._waiting[next_shard])
                if not self._waiting[next_shard]:
                    del self._waiting[next_shard]
                if turn.gone:
                    continue
                self._free -= 1
                self._taken[next_shard] += 1
                turn.give()
                return
