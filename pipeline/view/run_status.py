"""How a run stands, for pages that follow it."""

import asyncio

from aiohttp import web

from pipeline.run.store import RunFolder


async def status_answer(run: RunFolder) -> web.Response:
    """What RUN/status.json says now; with status 404, an empty object where there is none."""
    try:
        body, status = await asyncio.to_thread(run.status_file.read_bytes), 200
    except FileNotFoundError:
        body, status = b"{}", 404
    return web.Response(
        body=body,
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"},
    )
