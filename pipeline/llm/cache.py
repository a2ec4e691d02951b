"""Replies on disk: no request that was answered is sent again, not even after `kill -9`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.files.sealed_lines import SealedLines
from pipeline.llm.chat_completions import identity
from pipeline.llm.deviations import Deviation
from pipeline.llm.model import Request, Usage


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
    deviations: tuple[Deviation, ...] = ()


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
    if request.sampling is not None:
        told["sampling"] = dict(request.sampling)
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class ReplyCache:
    """Replies of one shard and stage, one JSON line each, appended by one process.

    Unusable replies are kept too, so that a later run goes on after them and does not pay for them again.
    A line ends with a checksum, so that a changed letter is not taken for the model's; what becomes of
    damaged lines is said by files.sealed_lines. Each is handed to the system when it is put, and forced to
    the disk at close. Raises CacheError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stored: dict[str, Stored] = {}
        self._attempts: dict[str, int] = {}
        self._paid_before: dict[str, Usage] = {}
        try:
            self._lines = SealedLines(path, self._note, lost="their replies are asked for again")
        except OSError as error:
            raise _explained(path, error) from error

    @property
    def unreadable(self) -> int:
        """Lines that were not as they had been written."""
        return self._lines.unreadable

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

    def revoke(self, key: str, why: str) -> None:
        """Takes a reply back, so that its request is asked again; it counts as an attempt that was paid."""
        if (stored := self._stored.pop(key, None)) is not None:
            self.put_unusable(key, f"{why}: {stored.text}", stored.attempts, stored.usage)

    def _append(self, fields: dict[str, Any]) -> None:
        try:
            self._lines.append(fields)
        except OSError as error:
            raise _explained(self._path, error) from error

    def close(self) -> None:
        """Forces everything to the disk."""
        self._lines.close()

    def _note(self, fields: dict[str, Any]) -> None:
        key, usage = fields.pop("key"), Usage(**fields.pop("usage"))
        unusable = fields.keys() == {"unusable", "attempt"}
        # Lines of earlier versions have none.
        deviations = tuple(map(Deviation, fields.pop("deviations", ())))
        stored = None if unusable else Stored(**fields, usage=usage, deviations=deviations)
        attempts = int(fields["attempt" if unusable else "attempts"])
        paid = usage.as_paid_before()
        if stored is not None:
            self._stored[key] = stored
        else:
            # What was unusable before is told from what was taken back by the order of the lines.
            self._stored.pop(key, None)
        self._attempts[key] = max(attempts, self.attempts(key))
        self._paid_before[key] = paid


def _explained(path: Path, error: OSError) -> CacheError:
    return CacheError(
        f"{path}: {error.strerror}\n"
        "  free space or make the run folder writable, then run again: what is in the file is kept"
    )
