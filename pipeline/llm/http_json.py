"""JSON over HTTP: one pool of connections to an endpoint; an answer with an error status is an exception."""

import json
import re
import socket
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import orjson

from pipeline.llm.urls import metrics_url, shown_url, url_of


@dataclass(eq=False)
class StatusError(Exception):
    """An answer whose status says that it went wrong. said: the body's words for it, or HTTP's."""

    status: int
    said: str
    retry_after: str | None


@dataclass(eq=False)
class PageError(Exception):
    """A web page, or a redirect to somewhere else, where JSON was asked for. said: which of them."""

    said: str

    def __str__(self) -> str:
        return self.said


# What a call may raise: an answer with an error status, or no (readable) answer.
# ValueError: a body that is no JSON.
CALL_ERRORS = (StatusError, PageError, aiohttp.ClientError, TimeoutError, OSError, ValueError)

# Of a provider that does not list its models.
NO_LIST = (400, 404, 405, 501)
REDIRECTS = (301, 302, 303, 307, 308)
# What providers call a status that they do not send.
_WORDS = {
    429: re.compile(r"rate.?limit|too many requests|overload|quota|busy|throttl", re.IGNORECASE),
    401: re.compile(r"invalid.{0,9}api.?key|authentication|unauthori[sz]ed", re.IGNORECASE),
    400: re.compile(r"invalid.?(request|argument|parameter)|bad.?request|unsupported|context", re.IGNORECASE),
}
# vLLM and other servers on uvicorn close a connection that has been idle for 5 s; a request that is sent just
# then is lost with it and has to be asked again.
_IDLE_SECONDS = 3.0
_SECONDS_BETWEEN_SIGNS = 60


class Api:
    """Calls to one base URL, for one event loop. Every call raises CALL_ERRORS.

    Straight on aiohttp: the openai package above it takes as long again for a request (0.74 ms of processor
    time against 0.36 ms, 21 KB of prompt), which is a third of what a trace costs beside the model.
    """

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        headers = {"Content-Type": "application/json"}
        password = None
        # A user and password in the URL take the place of the key.
        if parts.username:
            password = aiohttp.BasicAuth(unquote(parts.username), unquote(parts.password or ""))
        else:
            headers["Authorization"] = f"Bearer {key}"
        self._session = aiohttp.ClientSession(
            auth=password,
            headers=headers,
            # How many requests are open is the client's to say, and so is how long they may take.
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_IDLE_SECONDS, socket_factory=_watched_socket
            ),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        # Not trust_env, with which aiohttp looks for a netrc file at every request and prefers it to the key.
        host = parts.hostname or ""
        bypassed = urllib.request.proxy_bypass(host)
        self._proxy = None if bypassed else urllib.request.getproxies().get(parts.scheme)

    async def get(self, path: str) -> Any:
        """The JSON that is there."""
        url = url_of(self._base, path)
        async with self._session.get(url, proxy=self._proxy, allow_redirects=False) as response:
            return await _content(response)

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON that answers a body."""
        url, data = url_of(self._base, path), _encoded(body)
        async with self._session.post(url, data=data, proxy=self._proxy, allow_redirects=False) as response:
            return await _content(response)

    async def metrics(self) -> str:
        """The text at /metrics, which stands beside /v1."""
        url = metrics_url(self._base)
        async with self._session.get(url, proxy=self._proxy, allow_redirects=False) as response:
            content = await response.read()
            if not response.ok:
                raise StatusError(response.status, response.reason or "no metrics", None)
            return content.decode(errors="replace")

    async def close(self) -> None:
        """Ends all connections."""
        await self._session.close()


def _watched_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that fails where the other side is gone without a word: a reply may be waited for for long."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if hasattr(socket, name):  # macOS has one of them
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), _SECONDS_BETWEEN_SIGNS)
    return made


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        # 2 µs for a prompt of 21 KB; the standard library takes 34, a twelfth of all that a request costs.
        return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return json.dumps(body).encode()  # numbers of more than 64 bits, which YAML can hold


async def _content(response: aiohttp.ClientResponse) -> Any:
    content = await response.read()
    wait = response.headers.get("Retry-After")
    if response.status in REDIRECTS:
        raise PageError(f"redirects to {shown_url(response.headers.get('Location', 'nowhere'))}")
    if response.status >= 400:
        body = None
        with suppress(ValueError):
            body = json.loads(content)
        raise StatusError(
            response.status, _said(body, response.status) or response.reason or "no reason given", wait
        )
    if response.content_type == "text/html":
        raise PageError("answers with a web page, not with JSON")
    if response.content_type == "text/event-stream":
        raise PageError("answers with a stream of events, though none was asked for, not with JSON")
    body = json.loads(content)
    if (error := _error_in(body)) is not None:
        status = _status_of(error)
        raise StatusError(status, f"{_said(error, status)} (in an answer of status 200)", wait)
    return body


def _error_in(body: Any) -> dict[str, Any] | None:
    """The error that an answer of status 200 holds: instead of a completion, or in its first choice."""
    if not isinstance(body, dict):
        return None
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    for place in (body, choice):
        if isinstance(place, dict) and place.get("error"):
            return {"error": place["error"]}
    return body if body.get("object") == "error" else None


def _status_of(error: dict[str, Any]) -> int:
    """The status that fits an error: its code where that is one, else by its words, else 500."""
    inner = error.get("error", error)
    told = inner if isinstance(inner, dict) else {"message": inner}
    for name in ("code", "status", "status_code"):
        if str(told.get(name)).isdecimal() and 400 <= int(told[name]) < 600:
            return int(told[name])
    words = " ".join(str(told.get(name) or "") for name in ("code", "type", "status", "message"))
    return next((status for status, pattern in _WORDS.items() if pattern.search(words)), 500)


def _said(body: Any, status: int) -> str:
    """Code and message of an error's body; "" where it has none."""
    # Google wraps the error in a list; FastAPI says `detail`.
    body = body[0] if isinstance(body, list) and body else body
    body = body if isinstance(body, dict) else {}
    inner = body.get("error", body)
    inner = inner if isinstance(inner, dict) else {"message": inner}
    parts = [str(inner[name]) for name in ("code", "message", "detail") if inner.get(name)]
    code_is_status = parts and parts[0] == str(status)
    return ": ".join(parts[1:] if code_is_status else parts)
