"""What a release would change: files and bytes, and the rows behind them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pyarrow as pa
from huggingface_hub.hf_api import DatasetInfo, RepoSibling
from huggingface_hub.utils.sha import git_hash

from pipeline.files.atomic import value_digest

CARD = "README.md"
# What a release owns in a repository, and so may delete there.
OWNED = ("data/*", "full/*", "audit/*", "figures/*", CARD)


@dataclass(frozen=True)
class FileChange:
    """A file that a release adds (before None), removes (after None) or replaces; sizes in bytes."""

    path: str
    before: int | None
    after: int | None

    @property
    def kind(self) -> str:
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


@dataclass(frozen=True)
class RowChange:
    """How many rows a release has, and how they differ from those that are published.

    rewritten: traces on both sides whose audit row, which has the digest of the response, is another.
    """

    rows: int
    new: int
    gone: int
    rewritten: int


def file_changes(
    folder: Path, files: Mapping[str, str], published: DatasetInfo | None, same_card: bool
) -> list[FileChange]:
    """The files that differ, in order. files: SHA-256 of each file of `folder` by its path in it.

    published: the repository's head, with the metadata of its files; None where there is none. same_card:
    whether the published card is this one but for its list of releases, which the folder's has not.
    """
    there = {sibling.rfilename: sibling for sibling in (published.siblings or [] if published else [])}
    changes = []
    for path, sha256 in files.items():
        size, old = (folder / path).stat().st_size, there.get(path)
        if old is None:
            changes.append(FileChange(path, None, size))
        elif path == CARD:
            if not same_card:
                changes.append(FileChange(path, old.size, size))
        elif _differs(folder / path, sha256, old):
            changes.append(FileChange(path, old.size, size))
    stale = (path for path in there if path not in files and any(fnmatch(path, owned) for owned in OWNED))
    return sorted(
        [*changes, *(FileChange(path, there[path].size, None) for path in stale)], key=lambda c: c.path
    )


def _differs(path: Path, sha256: str, published: RepoSibling) -> bool:
    if published.lfs:
        return bool(published.lfs.sha256 != sha256)
    return bool(published.blob_id != git_hash(path.read_bytes()))


def row_changes(audit: Iterable[pa.Table], published_audit: Iterable[pa.Table]) -> RowChange:
    """The rows of two `audit` configurations compared by trace; one file's rows are held at a time."""
    now, before = _by_trace(audit), _by_trace(published_audit)
    both = now.keys() & before.keys()
    return RowChange(
        rows=len(now),
        new=len(now) - len(both),
        gone=len(before) - len(both),
        rewritten=sum(now[trace] != before[trace] for trace in both),
    )


def _by_trace(tables: Iterable[pa.Table]) -> dict[str, str]:
    return {row["trace_id"]: value_digest(row) for table in tables for row in table.to_pylist()}
