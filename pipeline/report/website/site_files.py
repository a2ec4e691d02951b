"""The files of a site: pages, and what all pages share; each is whole or not there."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path

from pipeline.files.atomic import remove_leftovers, replacing
from pipeline.files.lock import waiting_lock
from pipeline.report.website.coloured_code import stylesheet

_ROOM = "pipeline.report.website"


def write_page(path: Path, text: str) -> None:
    """Writes a page; one that is there is replaced at once, and left alone where it is the same."""
    content = text.encode("utf-8", "replace")
    if path.exists() and path.read_bytes() == content:
        return
    with replacing(path, durable=False) as temporary:
        temporary.write_bytes(content)


def write_assets(folder: Path) -> None:
    """Writes the stylesheets, scripts and the icon into folder/assets."""
    (folder / "assets").mkdir(exist_ok=True)
    with as_file(files(_ROOM) / "assets") as assets:
        for asset in sorted(assets.iterdir()):
            write_page(folder / "assets" / asset.name, asset.read_text(encoding="utf-8"))
    write_page(folder / "assets" / "code.css", stylesheet())


def code_digest() -> str:
    """Digest of all that pages are made by: where it has changed, every page is written anew."""
    digest = hashlib.sha256()
    with as_file(files("pipeline")) as room:
        for path in sorted(room.rglob("*")):
            if path.suffix in (".py", ".j2"):
                digest.update(path.read_bytes())
    for library in ("math-core", "matplotlib", "pygments"):
        digest.update(version(library).encode())
    return digest.hexdigest()


class ReportError(Exception):
    """The pages cannot be written there; the message says why and what to name instead."""


@contextmanager
def alone_in(folder: Path, *, is_site: Callable[[Path], bool], otherwise: str = "") -> Iterator[None]:
    """Makes the folder, and waits for whoever writes the same site: a build that ends while it is viewed.

    What killed writers have left half made is removed. is_site: whether what is in a folder is a site; asked
    of one that has no lock, since copies come without files whose names begin with a dot. otherwise: what can
    be done besides moving the files, for the message. Raises ReportError where the folder has other things in
    it, which would be overwritten.
    """
    lock = folder / ".report-lock"
    if folder.exists() and not lock.exists() and any(folder.iterdir()) and not is_site(folder):
        raise ReportError(
            f"{folder}: has files that are no report; move them away and run the command again{otherwise}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with waiting_lock(lock):
        remove_leftovers(folder)
        yield
