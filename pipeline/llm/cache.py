"""Replies on disk: no request that was answered is sent again, not even after `kill -9`."""

import hashlib
import json
import logging
import os
import re
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.files.atomic import replacing
from pipeline.files.damage import free_name, reading
from pipeline.llm.chat_completions import identity
from pipeline.llm.model import Request, Usage

LOG = logging.getLogger(__name__)


class CacheError(Exception):
    """The file cannot be read or written; the message says which and what to do."""


@dataclass(frozen=True)
class Stored:
    """A usable reply as it was given. attempts and usage: those of all the attempts that led to it."""

    text: str
    model: str
    attempts: int
    usage: Usage
    probabilities: dict[str, float] | None
    uncertainties: list[float] | None = None


def request_key(request: Request, model: str, chosen_by: Mapping[str, Any]) -> str:
    """SHA-256 of all that the reply may depend on, in canonical JSON; purpose and label are no part.

    chosen_by: the config's sampling and extra_body.
    """
    told = {
        "model": model,
        "messages": [[m.role, m.content] for m in request.messages],
        "constraint": identity(request.constraint),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        **chosen_by,
    }
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class ReplyCache:
    """Replies of one shard and stage, one JSON line each, appended by one process.

    Unusable replies are kept too, so that a later run goes on after them and does not pay for them again.
    A line ends with a checksum, so that a changed letter is not taken for the model's. A last line without an
    end (the writer was killed) is cut off; a file with other lines that are not as they were written is set
    aside, and goes on without them: they are counted in `unreadable` and told to the log. Each line is handed
    to the system when it is put, and forced to the disk at close. Raises CacheError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stored: dict[str, Stored] = {}
        self._attempts: dict[str, int] = {}
        self._paid_before: dict[str, Usage] = {}
        self.unreadable = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._end = self._load()
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            os.ftruncate(self._file, self._end)
        except OSError as error:
            raise _explained(path, error) from error

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

    def get(self, key: str) -> Stored | None:
        """The reply under a key, or None."""
        return self._stored.get(key)

    def attempts(self, key: str) -> int:
        """How often the request under a key has been answered so far, usably or not."""
        return self._attempts.get(key, 0)

    def take_paid_before(self, key: str) -> Usage:
        """Tokens that earlier runs used for a key; none the second time, so that a sum counts them once."""
        return self._paid_before.pop(key, Usage())

    def put(self, key: str, stored: Stored) -> None:
        """Keeps a reply, in memory and in the file."""
        self._append({"key": key, **asdict(stored)})
        self._stored[key] = stored
        self._attempts[key] = stored.attempts

    def put_unusable(self, key: str, text: str, attempt: int, usage: Usage) -> None:
        """Keeps an unusable reply. attempt: counted from 1; usage: that of all attempts up to this one."""
        self._append({"key": key, "unusable": text, "attempt": attempt, "usage": asdict(usage)})
        self._attempts[key] = attempt

    def _append(self, fields: dict[str, Any]) -> None:
        line = sealed_line(fields)
        try:
            written = os.pwrite(self._file, line, self._end)
            if written < len(line):  # the disk is full; a second try names the reason
                written += os.pwrite(self._file, line[written:], self._end + written)
        except OSError as error:
            os.ftruncate(self._file, self._end)
            raise _explained(self._path, error) from error
        self._end += written

    def close(self) -> None:
        """Forces everything to the disk."""
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _load(self) -> int:
        """Reads all whole lines; returns where the next one goes."""
        with reading(self._path):
            data = self._path.read_bytes() if self._path.exists() else b""
        whole = []
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            try:
                fields = _fields(line)
                self._note(fields.pop("key"), Usage(**fields.pop("usage")), fields)
                whole.append(line)
            except (ValueError, TypeError, KeyError, AttributeError):
                self.unreadable += 1
        if self.unreadable:
            self._go_on_without_damaged_lines(whole)
        return sum(map(len, whole))

    def _go_on_without_damaged_lines(self, whole: list[bytes]) -> None:
        aside = free_name(self._path)
        # A copy, so that no reply is lost where this is interrupted.
        shutil.copyfile(self._path, aside)
        with replacing(self._path) as temporary:
            temporary.write_bytes(b"".join(whole))
        LOG.warning(
            "%s: %d damaged lines, their replies are asked for again; the file as it was is %s",
            self._path,
            self.unreadable,
            aside.name,
        )

    def _note(self, key: str, usage: Usage, fields: dict[str, Any]) -> None:
        unusable = fields.keys() == {"unusable", "attempt"}
        stored = None if unusable else Stored(**fields, usage=usage)
        attempts = int(fields["attempt" if unusable else "attempts"])
        paid = usage.as_paid_before()
        if stored is not None:
            self._stored[key] = stored
        self._attempts[key] = max(attempts, self.attempts(key))
        self._paid_before[key] = paid


_CHECKSUM_BYTES = len(b', "crc32": "00000000"}')
_CHECKSUM = re.compile(rb', "crc32": "([0-9a-f]{8})"\}')


def sealed_line(fields: dict[str, Any]) -> bytes:
    """An object as a line of JSON whose last entry is the CRC-32 of all before it."""
    start = json.dumps(fields).encode()[:-1]
    return b'%s, "crc32": "%08x"}\n' % (start, zlib.crc32(start))


def _fields(line: bytes) -> dict[str, Any]:
    """What a line says, less its checksum. Raises ValueError where that does not fit."""
    line = line.rstrip(b"\r\n")
    found = _CHECKSUM.search(line, max(0, len(line) - _CHECKSUM_BYTES))
    if found is None:
        return json.loads(line)  # type: ignore[no-any-return] # of an older version
    start = line[: found.start()]
    if found.end() != len(line) or int(found[1], 16) != zlib.crc32(start):
        raise ValueError("the checksum does not fit")
    return json.loads(start + b"}")  # type: ignore[no-any-return]


def _explained(path: Path, error: OSError) -> CacheError:
    return CacheError(
        f"{path}: {error.strerror}\n"
        "  free space or make the run folder writable, then run again: what is in the file is kept"
    )
