"""Damaged files: found by size and digest, reported by name, and set aside."""

import errno
import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.files.atomic import file_digest

LOG = logging.getLogger(__name__)
BUILD_AGAIN = "run the build again (of a recheck: the recheck), which sets it aside and makes it anew"
_CHANGED = "its bytes are not those that were written"


class DamageError(Exception):
    """A file's content is not what was written into it; the message says which file and what to do.

    Raised where the reader may not change the folder; who builds in it sets the file aside (`set_aside`).
    """

    def __init__(self, path: Path, detail: str, remedy: str = BUILD_AGAIN) -> None:
        super().__init__(path, detail, remedy)
        self.path = path
        self.detail = " ".join(detail.split())
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.path}: damaged ({self.detail}); {self.remedy}"


def set_aside(
    damage: DamageError,
    *,
    folder: Path | None = None,
    then: str = "made anew",
    tell: Callable[[str], None] = LOG.warning,
) -> None:
    """Renames a damaged file to NAME.damaged, or NAME.damaged-2, …, and tells of it in a line.

    folder: the one that is of no use without the file, and is renamed instead; then: what becomes of it.
    """
    place = folder or damage.path
    if not place.exists():
        tell(f"{damage.path}: {damage.detail}; {then}")
        return
    aside = free_name(place)
    place.rename(aside)
    tell(f"{damage.path}: damaged ({damage.detail}); set aside as {aside.name} and {then}")


def free_name(path: Path) -> Path:
    """NAME.damaged beside a file, with a number where earlier damages have that name."""
    first = path.with_name(f"{path.name}.damaged")
    number, aside = 1, first
    while aside.exists():
        number += 1
        aside = first.with_name(f"{first.name}-{number}")
    return aside


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raises DamageError where the body finds that the disk cannot read the file; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamageError(path, "its disk cannot read it") from error


def whole_content(path: Path, sha256: str) -> bytes:
    """The bytes of a file that has this SHA-256. Raises DamageError."""
    with reading(path):
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise _gone(path) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DamageError(path, _CHANGED)
    return content


def check_file(path: Path, size: int, sha256: str) -> None:
    """Raises DamageError where a file has not this size and SHA-256; a wrong size is told without reading."""
    with reading(path):
        try:
            found = path.stat().st_size
            changed = found == size and file_digest(path) != sha256
        except FileNotFoundError as error:
            raise _gone(path) from error
    if found != size:
        raise DamageError(path, f"{found:,} bytes instead of {size:,}")
    if changed:
        raise DamageError(path, _CHANGED)


def _gone(path: Path) -> DamageError:
    return DamageError(path, "the file is gone")
