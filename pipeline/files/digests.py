"""Folders that tell whether their files are still what was written: checkpoints, models, prepared rows."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

from pipeline.files.atomic import file_digest, remove
from pipeline.files.damage import DamageError, check_file
from pipeline.files.sealed_json import read_sealed, write_sealed

DIGESTS = "digests.json"
_MAKE_AGAIN = f"make it again; or remove {DIGESTS} beside it, if the file was changed on purpose"


def write_digests(folder: Path) -> None:
    """Notes bytes and SHA-256 of every file that is in a folder now, in its digests.json. Raises WriteError.

    All bytes are read, in threads: a gigabyte takes a core about a second.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / DIGESTS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = dict(zip(files, pool.map(file_digest, files), strict=True))
    write_sealed(
        {
            str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": digest}
            for path, digest in digests.items()
        },
        folder / DIGESTS,
    )


def check_digests(folder: Path) -> set[str] | None:
    """Names of the files that were noted in a folder; None where nothing was, as by older versions.

    Raises DamageError for the first file that is not as it was, or where the folder is not there.
    """
    if not folder.is_dir():
        raise DamageError(folder, "the folder is gone", _MAKE_AGAIN)
    try:
        noted = read_sealed(folder / DIGESTS, remedy=_MAKE_AGAIN)
    except FileNotFoundError:
        return None

    def damage(name: str) -> DamageError | None:
        try:
            check_file(folder / name, noted[name]["bytes"], noted[name]["sha256"])
        except DamageError as found:
            return DamageError(found.path, found.detail, _MAKE_AGAIN)
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in filter(None, pool.map(damage, noted)):
            raise found
    return set(noted)


def drop_files(folder: Path, patterns: Iterable[str]) -> None:
    """Removes files and folders of such names from a folder, and what was noted of them before."""
    dropped = {path for pattern in patterns for path in folder.glob(pattern)}
    try:
        noted = read_sealed(folder / DIGESTS)
    except (FileNotFoundError, DamageError):
        noted = {}  # who reads the folder finds it damaged
    left = {name: told for name, told in noted.items() if not is_any_of(name, patterns)}
    # First, so that what a kill leaves is missed by nobody.
    if left != noted:
        write_sealed(left, folder / DIGESTS)
    for path in dropped:
        remove(path)


def is_any_of(name: str, patterns: Iterable[str]) -> bool:
    """Whether a path in a folder is, or is below, what one of the patterns names."""
    return any(fnmatch(name.partition("/")[0], pattern) for pattern in patterns)
