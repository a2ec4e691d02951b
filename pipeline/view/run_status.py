"""How a run stands, for pages that follow it."""

import asyncio

from aiohttp import web

from pipeline.run.store import RunFolder


async def status_answer(run: RunFolder) -> web.Response:
    """What RUN/status.json says now; no content where there is none."""
    headers = {"Cache-Control": "no-store"}
    try:
        body = await asyncio.to_thread(run.status_file.read_bytes)
    except FileNotFoundError:
        # No error, which a browser would tell of: a run of an older version has none.
        return web.Response(status=204, headers=headers)
    return web.Response(body=body, headers={**headers, "Content-Type": "application/json; charset=utf-8"})
