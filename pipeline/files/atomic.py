"""Files and folders that are whole or not there: written beside their place, synced, then renamed."""

import errno
import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

LOG = logging.getLogger(__name__)
_UNFINISHED = ".tmp"


class WriteError(Exception):
    """A file cannot be written; the message says which, why and what to do."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises WriteError where the body finds the disk of `path` full or not writable; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL and error.errno not in _NOT_WRITABLE:
            raise
        remedy = "free space" if error.errno in _FULL else "make the folder writable"
        raise WriteError(
            f"{path}: {os.strerror(error.errno)}\n"
            f"  {remedy}, then run the same command again: what is done is kept"
        ) from error


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A path beside `path` that nobody else writes to; the file or folder that is put there goes at the end.

    What a killed process leaves of one, `remove_leftovers` finds. Raises WriteError.
    """
    # Threads here, and machines on shared storage, may write the same file at once.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_UNFINISHED}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
        finally:
            with suppress(OSError):
                remove(temporary)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`; the file or folder written there takes its place at the end.

    Nothing is left behind where the body raises. A reader sees the old file or the new one, never a part; of
    folders the old one, the new one, or for the moment between two renames none.
    durable: after a power loss, too; False for what is only of use while it is new. Raises WriteError.
    """
    with temporary_beside(path) as temporary:
        yield temporary
        if durable:
            for written in (*temporary.rglob("*"), temporary):
                if not written.is_symlink():
                    sync(written)
        if temporary.is_dir() and path.exists():
            # No rename replaces a folder that has something in it.
            with temporary_beside(path) as old:
                path.rename(old)
                try:
                    temporary.rename(path)
                except OSError:
                    old.rename(path)
                    raise
        else:
            temporary.replace(path)
        if durable:
            sync(path.parent)


def remove(path: Path) -> None:
    """Removes what is there: a file, a link, a folder with all that is in it, or nothing. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers_of(path: Path) -> None:
    """Removes what killed processes were writing to take the place of one file, which nobody else writes."""
    for leftover in path.parent.glob(f".{escape(path.name)}.*{_UNFINISHED}"):
        remove(leftover)


def remove_leftovers(folder: Path, *, but: Path | None = None) -> None:
    """Removes, at any depth, what killed processes were writing in a folder in which nobody else writes now.

    but: a folder in it that is left to those who write there. What cannot be removed is told to the log.
    """
    for place, folders, files in os.walk(folder):
        found = [name for name in (*folders, *files) if name.startswith(".") and name.endswith(_UNFINISHED)]
        for leftover in (Path(place, name) for name in found):
            try:
                remove(leftover)
            except OSError as error:
                LOG.warning("%s: left by a run that was killed, cannot be removed: %s", leftover, error)
        folders[:] = [name for name in folders if name not in found and Path(place, name) != but]


def write_table(table: pa.Table, path: Path) -> None:
    """Writes a Parquet file (zstd), whole or not at all."""
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_json(value: Any, path: Path, *, durable: bool = True) -> None:
    """Writes a JSON file for people and programs, whole or not at all."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def value_digest(value: Any) -> str:
    """SHA-256 of plain JSON data, the same whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def sync(path: Path) -> None:
    """Syncs a file or a folder to disk, so that it survives a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
