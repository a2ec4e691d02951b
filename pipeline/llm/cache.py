"""Replies on disk: what was paid for is never paid for twice, not even after `kill -9`."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.llm.model import Request, Usage
from pipeline.llm.wire import identity


class CacheError(Exception):
    """The file cannot be read or written; the message says which and what to do."""


@dataclass(frozen=True)
class Stored:
    """A usable reply as it was given; usage is what it cost then."""

    text: str
    model: str
    attempts: int
    usage: Usage
    probabilities: dict[str, float] | None


def request_key(request: Request, model: str, extra_body: Mapping[str, Any]) -> str:
    """SHA-256 of all that the reply may depend on, in canonical JSON; purpose and label are no part."""
    told = {
        "model": model,
        "messages": [[m.role, m.content] for m in request.messages],
        "constraint": identity(request.constraint),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        "extra_body": extra_body,
    }
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class ReplyCache:
    """Replies of one shard and stage, one JSON line each, appended by one process.

    A last line without an end (the writer was killed) is cut off; other lines that cannot be read are
    passed over and counted in `unreadable`. Each line is handed to the system when it is put, and
    forced to the disk at close. Raises CacheError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stored: dict[str, Stored] = {}
        self.unreadable = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise _explained(path, error) from error
        self._end = self._load()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def cost(self) -> Usage:
        """What all replies in this file cost when they were asked for."""
        return sum((stored.usage for stored in self._stored.values()), Usage())

    def get(self, key: str) -> Stored | None:
        """The reply under a key, or None."""
        return self._stored.get(key)

    def put(self, key: str, stored: Stored) -> None:
        """Keeps a reply, in memory and in the file."""
        line = json.dumps({"key": key, **asdict(stored)}).encode() + b"\n"
        try:
            written = os.pwrite(self._file, line, self._end)
            if written < len(line):  # the disk is full; a second try names the reason
                written += os.pwrite(self._file, line[written:], self._end + written)
        except OSError as error:
            os.ftruncate(self._file, self._end)
            raise _explained(self._path, error) from error
        self._end += written
        self._stored[key] = stored

    def close(self) -> None:
        """Forces everything to the disk."""
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _load(self) -> int:
        """Reads all whole lines; returns where the next one goes."""
        data = self._path.read_bytes()
        end = data.rfind(b"\n") + 1
        if end < len(data):
            os.ftruncate(self._file, end)
        for line in data[:end].splitlines():
            try:
                fields = json.loads(line)
                key = fields.pop("key")
                self._stored[key] = Stored(**fields | {"usage": Usage(**fields["usage"])})
            except (ValueError, TypeError, KeyError, AttributeError):
                self.unreadable += 1
        return end


def _explained(path: Path, error: OSError) -> CacheError:
    return CacheError(
        f"{path}: {error.strerror}\n"
        "  free space or make the run folder writable, then run again: what is in the file is kept"
    )
