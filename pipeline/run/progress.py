"""How far a stage is with one shard: a small file in the run folder, so that any process can read it.

Written about twice a second by whoever works on the shard, also while no trace ends. It stays until the run
ends, so that it also says which shards this run has worked on.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

from pipeline.files.atomic import WriteError, replacing
from pipeline.llm.model import Usage
from pipeline.run.outcomes import Done, Failed, Outcome, Rejected
from pipeline.run.store import RunFolder

_SECONDS_BETWEEN_WRITES = 0.5


@dataclass(frozen=True)
class ShardCounts:
    """Traces that a stage has done, rejected and failed of one shard, and what it has asked so far.

    usage: by purpose. running: requests that are with an endpoint now. ended: the manifest is written.
    """

    done: int = 0
    rejected: int = 0
    failed: int = 0
    running: int = 0
    usage: dict[str, Usage] = field(default_factory=dict)
    ended: bool = False

    @property
    def out(self) -> int:
        """Traces that have left the stage, however."""
        return self.done + self.rejected + self.failed

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Asking(Protocol):
    """What tells how much it has asked; a client does."""

    @property
    def usage(self) -> dict[str, Usage]: ...

    @property
    def running(self) -> int: ...


class ShardProgress:
    """Counts the traces of one shard as they leave a stage, and tells of them twice a second at most.

    client: the one that asks for them, if any. What cannot be written is left out: others only look at it,
    and where the disk is full, the shard's own files say so.
    """

    def __init__(self, run: RunFolder, stage: str, shard: int, client: Asking | None = None) -> None:
        self._path = run.progress(stage, shard)
        self._client = client
        self._counts = ShardCounts()
        self._told: ShardCounts | None = None
        self._looked = 0.0

    def saw(self, outcome: Outcome) -> None:
        """Counts a trace."""
        counts = self._counts
        match outcome:
            case Done():
                self._counts = replace(counts, done=counts.done + 1)
            case Rejected():
                self._counts = replace(counts, rejected=counts.rejected + 1)
            case Failed():
                self._counts = replace(counts, failed=counts.failed + 1)
        # Here too: a stage that never waits leaves no time to whoever calls `tell`.
        if time.monotonic() - self._looked >= _SECONDS_BETWEEN_WRITES:
            self.tell()

    def tell(self) -> None:
        """Writes what has changed."""
        self._looked = time.monotonic()
        if self._client is not None:
            self._counts = replace(self._counts, usage=self._client.usage, running=self._client.running)
        if self._counts != self._told:
            self._told = self._counts
            with suppress(OSError, WriteError), replacing(self._path, durable=False) as temporary:
                temporary.write_text(json.dumps(self._counts.as_json()))

    def end(self) -> None:
        """Says that the shard's manifest is written, which counts from now on."""
        self._counts = replace(self._counts, ended=True)
        self.tell()


@asynccontextmanager
async def telling(progress: Sequence[ShardProgress]) -> AsyncIterator[None]:
    """Tells of progress while the body works, also where no trace ends."""

    async def keep_telling() -> None:
        while True:
            for one in progress:
                one.tell()
            await asyncio.sleep(_SECONDS_BETWEEN_WRITES)

    task = asyncio.create_task(keep_telling())
    try:
        yield
    finally:
        task.cancel()
        for one in progress:
            one.tell()


def read_counts(path: Path) -> ShardCounts | None:
    """What a progress file says; None where there is none, or none that can be read."""
    try:
        told = json.loads(path.read_bytes())
        usage = {str(purpose): _usage(used) for purpose, used in told.get("usage", {}).items()}
        numbers = {name: int(told.get(name, 0)) for name in ("done", "rejected", "failed", "running")}
        return ShardCounts(**numbers, usage=usage, ended=told.get("ended") is True)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _usage(told: dict[str, Any]) -> Usage:
    return Usage(**{each.name: int(told.get(each.name, 0)) for each in fields(Usage)})


def clear_progress(run: RunFolder) -> None:
    """Removes all progress files; for a run that begins, whose own they are not, or has ended."""
    for path in run.progress("*", 0).parent.glob("*-[0-9]*.json"):
        with suppress(OSError):
            path.unlink()
