"""The files that a build reads: local or remote, named, in folders, or by patterns."""

import difflib
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.config import SourceConfig

PACKED = ("", ".gz", ".zst", ".bz2")
# .arrow: what `save_to_disk` writes. In capitals, too.
SUFFIXES = (
    ".parquet",
    ".parq",
    ".arrow",
    *(f"{name}{end}" for name in (".jsonl", ".ndjson") for end in PACKED),
)
# Where it is named itself: in folders of datasets many files of that kind hold no traces.
ALONE = tuple(f".json{end}" for end in PACKED)
# What is held out to test models, by the name of a file or its folder.
_SPLIT = re.compile(r"(?:^|[_.-])(train|test|validation|valid|val|dev|eval)(?=[_.-]|$)", re.IGNORECASE)


class SourceError(Exception):
    """The source cannot be read as configured; the message says why and what to do."""


@dataclass(frozen=True)
class SourceFile:
    """One file of the source.

    path: what fsspec opens; absolute. origin: what the data calls it: an address, or a local file's place in
    the folder that the config names, so that the same files give the same data wherever that folder lies.
    version: changes when the file's content may have changed.
    """

    path: str
    origin: str
    version: str

    @property
    def name(self) -> str:
        # Of a file in an archive, "zip://data/a.parquet::https://…/b.zip", not the archive's.
        return self.path.partition("::")[0].rsplit("/", 1)[-1]

    @property
    def kind(self) -> str:
        """How it is read: "parquet", "arrow" or "json"."""
        kinds = {".parquet": "parquet", ".parq": "parquet", ".arrow": "arrow"}
        return next((kind for suffix, kind in kinds.items() if self.name.lower().endswith(suffix)), "json")

    @property
    def split(self) -> str | None:
        """The split that its name, or its folder within the source, is called by: train, test, …"""
        *_, folder, name = ["", *self.origin.partition("::")[0].rsplit("/", 2)]
        found = _SPLIT.search(name) or _SPLIT.fullmatch(folder)
        return found[1].lower() if found else None


def find_files(config: SourceConfig) -> list[SourceFile]:
    """The source's files, each once, in the order of their origins.

    A folder stands for every Parquet, Arrow and JSON lines file under it, hidden ones left out. Of files that
    name a split those of `source.splits` are taken, where it says some.
    Raises SourceError for a path that matches no such file.
    """
    if not config.paths:
        raise SourceError("source.paths is empty: name Parquet or JSON lines files, or give --source FILE")
    found = [file for path in config.paths for file in _matches(pinned(path, config.revision))]
    # Of a file that several paths match, the shortest origin stays: the last one here.
    once = {
        file.path: file for file in sorted(found, key=lambda file: -len(file.origin)) if _is_of(file, config)
    }
    if not once:
        splits = sorted({file.split for file in found if file.split})
        raise SourceError(f"no file of the source is of source.splits; the files are of {', '.join(splits)}")
    return sorted(_told_apart(list(once.values())), key=lambda file: file.origin)


def splits_told(files: Sequence[SourceFile]) -> str:
    """What to say where files of several splits are read; empty where all are of one."""
    splits = Counter(file.split or "no split" for file in files)
    if len(splits) < 2:
        return ""
    told = ", ".join(f"{split} ({count})" for split, count in sorted(splits.items()))
    return f"reading files of several splits: {told}; source.splits: [train] takes those of one"


def _is_of(file: SourceFile, config: SourceConfig) -> bool:
    return config.splits is None or file.split is None or file.split in config.splits


def pinned(path: str, revision: str | None) -> str:
    """A Hub address with its revision: hf://datasets/org/name@revision/…; also behind "zip://…::"."""
    if "::" in path:
        return "::".join(pinned(link, revision) for link in path.split("::"))
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
    try:
        filesystem, inner = fsspec.core.url_to_fs(path)
        folder, names = _names(filesystem, inner, path)
        return [_source_file(filesystem, name, folder, path) for name in names]
    except SourceError:
        raise
    except Exception as error:
        # Each kind of file system has its own exceptions for what it cannot reach.
        raise SourceError(
            f"source path {path!r} cannot be reached ({type(error).__name__}: {error}): check the address, "
            "the network, and for private data the token"
        ) from error


def _names(filesystem: Any, inner: str, path: str) -> tuple[str, list[str]]:
    """The trace files, and the folder that the path names or that its file or pattern stands in."""
    if filesystem.isfile(inner):
        if not inner.lower().endswith((*SUFFIXES, *ALONE)):
            raise SourceError(
                f"source path {path!r} is no file of traces: unpack or convert it to one of "
                f"{', '.join((*SUFFIXES, *ALONE))}"
            )
        return _folder(inner), [inner]
    if filesystem.isdir(inner):
        found = _traces(filesystem.find(inner), inner)
        if not found:
            raise SourceError(f"source folder {path!r} has no file that ends in {', '.join(SUFFIXES)}")
        return inner, found
    start = re.split(r"[*?\[]", inner)[0]
    found = _traces(filesystem.glob(inner), start, ALONE if inner.lower().endswith(ALONE) else SUFFIXES)
    if not found:
        raise SourceError(f"source path {path!r} matches no file of traces; {_nearest(filesystem, inner)}")
    return _folder(start), found


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _traces(names: list[str], start: str, suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """The names of trace files; those that are hidden, or in a hidden folder, beyond `start` are left out.

    So is what `datasets` keeps beside a data set that it has saved: results of `map`.
    """
    return [
        name
        for name in names
        if name.lower().endswith(suffixes)
        and "/." not in name[len(start.rstrip("/")) :]
        and not _CACHED.search(name)
    ]


_CACHED = re.compile(r"/cache-[^/]*\.arrow\Z")


def _source_file(filesystem: Any, name: str, folder: str, path: str) -> SourceFile:
    if isinstance(filesystem, LocalFileSystem):
        status = Path(name).stat()
        version = f"{status.st_size} {status.st_mtime_ns}"
        return SourceFile(os.path.normpath(name), os.path.relpath(name, folder), version)
    address = str(filesystem.unstrip_protocol(name))
    within, _, archive = path.partition("::")
    if archive and "://" in within:
        address += f"::{archive}"
    return SourceFile(address, address, str(filesystem.ukey(name)))


def _told_apart(files: list[SourceFile]) -> list[SourceFile]:
    """The files; origins that are not unique get as many folders in front as make them so."""
    counts = Counter(file.origin for file in files)
    if len(counts) == len(files):
        return files
    return _told_apart([_with_one_more_folder(file) if counts[file.origin] > 1 else file for file in files])


def _with_one_more_folder(file: SourceFile) -> SourceFile:
    parts = file.origin.count("/") + 2
    return replace(file, origin="/".join(file.path.split("/")[-parts:]))


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
