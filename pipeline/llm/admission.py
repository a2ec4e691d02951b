"""Admission control: how many traces are processed at once, by what fits the engine's KV cache."""

import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pipeline.llm.cross_thread_waiter import Waiter


@dataclass
class _Room:
    """An endpoint and the traces that are at work there. most: tokens of them; None where unknown."""

    endpoint: str
    most: int | None
    tokens: int = 0
    traces: int = 0

    def takes(self, tokens: int) -> bool:
        # A trace that is larger than all of the room has it alone.
        return self.most is None or not self.traces or self.tokens + tokens <= self.most


class Admission:
    """Admits traces while their tokens fit the endpoints' KV caches, for all event loops of a process.

    All requests about a trace begin alike, which costs little as long as the engine's prefix cache still has
    that beginning. So a trace is taken through all its requests while the cache can keep it, and those that
    wait are admitted in the order they came. Each belongs to one endpoint, whose cache has it.

    rooms: by endpoint, most tokens of the traces that are at work there, None where unknown; most_traces: at
    work at all. Source of the idea and its gain: 52.8K computed prompt tokens a trace with 24 traces of 10.4K
    tokens at work on one H200 (vLLM 0.26, Qwen3-8B's shape), 23.4K with 12 of them.
    """

    def __init__(self, rooms: Mapping[str, int | None], most_traces: int) -> None:
        self._rooms = [_Room(endpoint, most) for endpoint, most in rooms.items()]
        self._most_traces = most_traces
        self._waiting: deque[_Waiting] = deque()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["Admission"], tuple[dict[str, int | None], int]]:
        """Unpickled in another process, it is that process's own limit."""
        return Admission, ({room.endpoint: room.most for room in self._rooms}, self._most_traces)

    @asynccontextmanager
    async def admitted(self, tokens: int) -> AsyncIterator[str]:
        """Room for a trace while the body lasts; gives the endpoint that its requests belong to."""
        with self._lock:
            room = None if self._waiting else self._take(tokens)
            if room is None:
                waiting = _Waiting(tokens, Waiter(self._lock))
                self._waiting.append(waiting)
        if room is None:
            await waiting.turn.wait(lambda: self._leave(waiting))
            room = waiting.room
        assert room is not None
        try:
            yield room.endpoint
        finally:
            self._give_back(room, tokens)

    def _take(self, tokens: int) -> _Room | None:
        """The emptiest room that takes the trace; None where it has to wait."""
        if sum(room.traces for room in self._rooms) >= self._most_traces:
            return None
        taking = [room for room in self._rooms if room.takes(tokens)]
        if not taking:
            return None
        room = min(taking, key=lambda room: room.tokens)
        room.tokens += tokens
        room.traces += 1
        return room

    def _leave(self, waiting: "_Waiting") -> None:
        if waiting.room is not None:
            self._give_back(waiting.room, waiting.tokens)

    def _give_back(self, room: _Room, tokens: int) -> None:
        with self._lock:
            room.tokens -= tokens
            room.traces -= 1
            while self._waiting:
                first = self._waiting[0]
                if not first.turn.gone:
                    first.room = self._take(first.tokens)
                    if first.room is None:
                        return
                    first.turn.give()
                self._waiting.popleft()


@dataclass(eq=False)
class _Waiting:
    tokens: int
    turn: Waiter
    room: _Room | None = None


class ShardAdmission:
    """Admission of one shard's traces, which knows where each of them is at work."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._endpoints: dict[int, str] = {}

    @asynccontextmanager
    async def admitted(self, rank: int, tokens: int) -> AsyncIterator[None]:
        """Room for a trace while the body lasts. rank: its number in the shard."""
        async with self._admission.admitted(tokens) as endpoint:
            self._endpoints[rank] = endpoint
            try:
                yield
            finally:
                del self._endpoints[rank]

    def endpoint(self, rank: int) -> str | None:
        """The endpoint whose cache has the trace of that number; None where it was not admitted."""
        return self._endpoints.get(rank)
