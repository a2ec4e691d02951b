"""The files that a build reads: local or remote, named, in folders, or by patterns."""

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.config import SourceConfig

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst")


class SourceError(Exception):
    """The source cannot be read as configured; the message says why and what to do."""


@dataclass(frozen=True)
class SourceFile:
    """One file of the source.

    path: what fsspec opens and origins name; a local path is relative where the config's is.
    version: changes when the file's content may have changed.
    """

    path: str
    version: str

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


def find_files(config: SourceConfig) -> list[SourceFile]:
    """The source's files, each once, in the order of their paths.

    A folder stands for every Parquet and JSON lines file under it, hidden ones left out.
    Raises SourceError for a path that matches no such file.
    """
    if not config.paths:
        raise SourceError("source.paths is empty: name Parquet or JSON lines files, or give --source FILE")
    found = {file.path: file for path in config.paths for file in _matches(pinned(path, config.revision))}
    return sorted(found.values(), key=lambda file: file.path)


def pinned(path: str, revision: str | None) -> str:
    """A Hub address with its revision: hf://datasets/org/name@revision/…"""
    if revision is None or not path.startswith("hf://"):
        return path
    parts = _HUB_ADDRESS.fullmatch(path)
    if parts is None:
        raise SourceError(f"source path {path!r}: write hf://datasets/organisation/name/…")
    wanted = quote(revision, safe="")
    if parts["revision"] not in (None, wanted):
        raise SourceError(
            f"source path {path!r} names another revision than source.revision ({revision!r}): "
            "leave one of them out"
        )
    return f"{parts['name']}@{wanted}{parts['rest']}"


_HUB_ADDRESS = re.compile(r"(?P<name>hf://datasets/[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(?P<rest>(/.*)?)")


def _matches(path: str) -> list[SourceFile]:
    relative = not path.startswith(("/", "~")) and "://" not in path
    try:
        filesystem, inner = fsspec.core.url_to_fs(path)
        names = _names(filesystem, inner, path)
        return [SourceFile(_shown(filesystem, name, relative), _version(filesystem, name)) for name in names]
    except SourceError:
        raise
    except Exception as error:
        # Each kind of file system has its own exceptions for what it cannot reach.
        raise SourceError(
            f"source path {path!r} cannot be reached ({type(error).__name__}: {error}): check the address, "
            "the network, and for private data the token"
        ) from error


def _names(filesystem: Any, inner: str, path: str) -> list[str]:
    if filesystem.isfile(inner):
        if not inner.endswith(SUFFIXES):
            raise SourceError(
                f"source path {path!r} is no file of traces: convert it to one of {', '.join(SUFFIXES)}"
            )
        return [inner]
    if filesystem.isdir(inner):
        found = _traces(filesystem.find(inner), inner)
        if not found:
            raise SourceError(f"source folder {path!r} has no file that ends in {', '.join(SUFFIXES)}")
        return found
    found = _traces(filesystem.glob(inner), re.split(r"[*?\[]", inner)[0])
    if not found:
        raise SourceError(f"source path {path!r} matches no file of traces; {_nearest(filesystem, inner)}")
    return found


def _traces(names: list[str], start: str) -> list[str]:
    """The names of trace files; those that are hidden, or in a hidden folder, beyond `start` are left out."""
    return [name for name in names if name.endswith(SUFFIXES) and "/." not in name[len(start.rstrip("/")) :]]


def _shown(filesystem: Any, name: str, relative: bool) -> str:
    if isinstance(filesystem, LocalFileSystem):
        return os.path.relpath(name) if relative else name
    return str(filesystem.unstrip_protocol(name))


def _version(filesystem: Any, name: str) -> str:
    if isinstance(filesystem, LocalFileSystem):
        status = Path(name).stat()
        return f"{status.st_size} {status.st_mtime_ns}"
    return str(filesystem.ukey(name))


def _nearest(filesystem: Any, missing: str) -> str:
    """Where the path stops to exist, and the name there that is most like the missing one."""
    folder = missing
    while "/" in folder.rstrip("/"):
        wanted = folder.rstrip("/").rsplit("/", 1)[-1]
        folder = folder.rstrip("/").rsplit("/", 1)[0] or "/"
        if filesystem.isdir(folder):
            there = [name.rstrip("/").rsplit("/", 1)[-1] for name in filesystem.ls(folder, detail=False)]
            close = difflib.get_close_matches(wanted, there, n=1)
            if close:
                return f"did you mean {folder.rstrip('/')}/{close[0]}?"
            return f"the nearest folder that exists is {folder}"
    return "nothing of it exists; check the address"
