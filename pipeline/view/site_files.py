"""Files of the report's folder, and none outside it."""

import asyncio
from pathlib import Path

from aiohttp import web

_INDEX = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".png": "image/png",
}
_OTHERS = "application/octet-stream"


async def file_answer(site: Path, path: str) -> web.FileResponse:
    """The file at that path of a URL, decoded, below the site's folder; "/" is its index.html.

    Raises HTTPNotFound where there is none, for dot files, and for links that lead out.
    """
    file = await asyncio.to_thread(_found, site, path.removeprefix("/") or _INDEX)
    if file is None:
        raise web.HTTPNotFound(text=f"{path}: no such page")
    return web.FileResponse(file, headers={"Content-Type": _TYPES.get(file.suffix.lower(), _OTHERS)})


def _found(site: Path, path: str) -> Path | None:
    parts = path.split("/")
    # An empty part would make what follows it absolute; "..", too, begins with a dot.
    if any(not part or part.startswith(".") for part in parts):
        return None
    try:
        root = site.resolve(strict=True)
        file = root.joinpath(*parts).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        # Nothing there, a name that no file can have, or (until Python 3.13) links that go round in circles.
        return None
    return file if file.is_relative_to(root) and file.is_file() else None
