"""The form for verdicts: which there are on a trace, and a new one; the only thing here that writes."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.run.store import RunFolder
from pipeline.verdicts import (
    LONGEST_WHY,
    JudgedMemento,
    Opinion,
    Verdict,
    memento_of,
    points_that_pass,
    put,
    read_verdicts,
    take_back,
)

_MOST_BYTES = 10_000
_MOST_BYTES_READ = 1_000_000
_MOST_BLOCKS = 2**31


class Given(BaseModel):
    """What the form sends. verdict: None takes an earlier one back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trace_id: Annotated[str, Field(min_length=1, max_length=200)]
    block: Annotated[int, Field(strict=True, ge=0, lt=_MOST_BLOCKS)]
    memento_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    verdict: Opinion | None
    why: Annotated[str, Field(max_length=LONGEST_WHY)]


async def verdicts_answer(run: RunFolder, trace_id: str) -> web.Response:
    """The verdicts on a trace, those on texts that the run no longer has, too. Raises DamageError."""
    return _told(await asyncio.to_thread(read_verdicts, run), trace_id)


async def new_verdict_answer(run: RunFolder, request: web.BaseRequest) -> web.Response:
    """Keeps or takes back the verdict that the request brings; the trace's verdicts from then on.

    Raises HTTPBadRequest, HTTPRequestEntityTooLarge for what no form of the report sends, NotThere where the
    run has no such memento, HTTPConflict where its text is another one now; DamageError, WriteError,
    ConfigError.
    """
    body = await _body(request)
    try:
        given = Given.model_validate_json(body)
    except ValidationError as error:
        raise web.HTTPBadRequest(text=_faults(error)) from None
    return _told(await asyncio.to_thread(_keep, run, given), given.trace_id)


def _keep(run: RunFolder, given: Given) -> list[Verdict]:
    memento = memento_of(run, given.trace_id, given.block)
    if memento.key.memento_sha256 != given.memento_sha256:
        raise web.HTTPConflict(
            text=f"the run has another memento for block {given.block} of trace {given.trace_id} by now; "
            "load the page again and read that one"
        )
    if given.verdict is None:
        return take_back(run, memento.key)
    return put(run, _verdict(memento, given.verdict, given.why.strip(), points_that_pass(run)))


def _verdict(memento: JudgedMemento, opinion: Opinion, why: str, threshold: int) -> Verdict:
    now = datetime.now(UTC)
    return Verdict(
        **memento.key._asdict(),
        verdict=opinion,
        why=why,
        score=memento.score,
        passed=memento.passes(threshold),
        # As precise as the file keeps it.
        at=now.replace(microsecond=now.microsecond // 1000 * 1000),
    )


async def _body(request: web.BaseRequest) -> bytes:
    """What the request brings. Of a body that is too large some more is read: a browser hears of the refusal
    only once it has sent all."""
    body, size = bytearray(), 0
    try:
        async for chunk in request.content.iter_chunked(_MOST_BYTES):
            size += len(chunk)
            if size <= _MOST_BYTES:
                body += chunk
            if size > _MOST_BYTES_READ:
                break
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest(text=f"a body that cannot be read: {' '.join(str(error).split())}") from None
    if size > _MOST_BYTES:
        raise web.HTTPRequestEntityTooLarge(_MOST_BYTES, text=f"more than {_MOST_BYTES:,} bytes")
    return bytes(body)


def _faults(error: ValidationError) -> str:
    places = ((".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors())
    return "\n".join(f"{place}: {message}" if place else message for place, message in places)


def _told(verdicts: list[Verdict], trace_id: str) -> web.Response:
    told = [
        {
            "block": one.block,
            "memento_sha256": one.memento_sha256,
            "verdict": one.verdict,
            "why": one.why,
            "at": one.at.isoformat(timespec="milliseconds"),
        }
        for one in verdicts
        if one.trace_id == trace_id
    ]
    return web.json_response(told, headers={"Cache-Control": "no-store"})
