"""A file of JSON objects, one a line, that grows while a process works and outlives its `kill -9`."""

import json
import logging
import os
import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.files.atomic import replacing
from pipeline.files.damage import free_name, reading

LOG = logging.getLogger(__name__)
JsonObject = dict[str, Any]


class SealedLines:
    """Objects in a file, appended by one process; each line ends with a checksum of what it says.

    take: gets the object of every line that is there, in their order; ValueError, TypeError, KeyError or
    AttributeError from it says that the line is not as it was written. A last line without an end (the writer
    was killed) is cut off. A file with other lines that are not as they were written is set aside, and goes
    on without them: they are counted in `unreadable` and told to the log, with `lost`, what becomes of them.
    Each line is handed to the system when it is appended, and forced to the disk at close. Raises OSError.
    """

    def __init__(self, path: Path, take: Callable[[JsonObject], None], *, lost: str) -> None:
        self._path = path
        self._lost = lost
        self.unreadable = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._end = self._load(take)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, self._end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def append(self, fields: JsonObject) -> None:
        """Adds a line, whole or not at all."""
        line = _sealed(fields)
        try:
            written = os.pwrite(self._file, line, self._end)
            if written < len(line):  # the disk is full; a second try names the reason
                written += os.pwrite(self._file, line[written:], self._end + written)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += written

    def close(self) -> None:
        """Forces everything to the disk."""
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _load(self, take: Callable[[JsonObject], None]) -> int:
        """Reads all whole lines; returns where the next one goes."""
        if not self._path.exists():
            return 0
        end = 0
        damaged = set()
        with reading(self._path), self._path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                try:
                    take(_fields(line))
                    end += len(line)
                except (ValueError, TypeError, KeyError, AttributeError):
                    damaged.add(number)
        self.unreadable = len(damaged)
        if damaged:
            self._go_on_without(damaged)
        return end

    def _go_on_without(self, damaged: set[int]) -> None:
        aside = free_name(self._path)
        # A copy, so that nothing is lost where this is interrupted.
        shutil.copyfile(self._path, aside)
        with aside.open("rb") as file, replacing(self._path) as temporary, temporary.open("wb") as rest:
            rest.writelines(line for number, line in enumerate(file) if number not in damaged)
        LOG.warning(
            "%s: %d damaged lines, %s; the file as it was is %s",
            self._path,
            self.unreadable,
            self._lost,
            aside.name,
        )


_CHECKSUM_BYTES = len(b', "crc32": "00000000"}')
_CHECKSUM = re.compile(rb', "crc32": "([0-9a-f]{8})"\}')


def _sealed(fields: JsonObject) -> bytes:
    """An object as a line of JSON whose last entry is the CRC-32 of all before it."""
    start = json.dumps(fields).encode()[:-1]
    return b'%s, "crc32": "%08x"}\n' % (start, zlib.crc32(start))


def _fields(line: bytes) -> JsonObject:
    """What a line says, less its checksum. Raises ValueError where that does not fit."""
    line = line.rstrip(b"\r\n")
    found = _CHECKSUM.search(line, max(0, len(line) - _CHECKSUM_BYTES))
    if found is None:
        return json.loads(line)  # type: ignore[no-any-return] # of an older version
    start = line[: found.start()]
    if found.end() != len(line) or int(found[1], 16) != zlib.crc32(start):
        raise ValueError("the checksum does not fit")
    return json.loads(start + b"}")  # type: ignore[no-any-return]
