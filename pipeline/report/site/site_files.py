"""The files of a site: pages, and what all pages share; each is whole or not there."""

import hashlib
import shutil
from importlib.resources import as_file, files
from pathlib import Path

from pipeline.files.atomic import replacing
from pipeline.report.site import code

_ROOM = "pipeline.report.site"


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
    write_page(folder / "assets" / "code.css", code.stylesheet())


def code_digest() -> str:
    """Digest of all that pages are made by: where it has changed, every page is written anew."""
    digest = hashlib.sha256()
    with as_file(files(_ROOM)) as room:
        for path in sorted(room.rglob("*")):
            if path.suffix in (".py", ".j2"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed writer has left half made."""
    for leftover in folder.glob("**/.*.tmp"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
