"""The view's server in a thread of its own, and raw requests to it, such as no honest client would send."""

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.run.store import RunFolder
from pipeline.view import answers, listening, port_of, serving

SITE = {
    "index.html": "<h1>Übersicht</h1>",
    "traces/one.html": "<p>one</p>",
    "assets/page.js": "let a = 1",
    "assets/page.css": "p {}",
    "figures/a.svg": "<svg/>",
    "data.json": "{}",
    "data.csv": "a,b",
    "data.parquet": "PAR1",
    ".secret": "hidden",
    ".git/config": "hidden",
}


@dataclass(frozen=True)
class Reply:
    """What came back: names of headers are as they were sent, looked up in any case."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A server that is up."""

    run: RunFolder
    site: Path
    port: int

    def ask(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        """The reply to a request whose target and headers are sent as they stand; Host unless it is given."""
        given = {"Host": f"127.0.0.1:{self.port}"} | (headers or {})
        if body:
            given = {"Content-Length": str(len(body))} | given
        lines = [
            f"{method} {target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in given.items() if value),
        ]
        return self.raw("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body, method)

    def raw(self, request: bytes, method: str = "GET") -> Reply:
        """The reply to these bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            reply = http.client.HTTPResponse(connection, method=method)
            reply.begin()
            return Reply(reply.status, reply.headers, reply.read())

    def post(self, value: Any, **headers: str) -> Reply:
        """The reply to a verdict, sent as the report's own page sends it but for these headers."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        own = {
            "Content-Type": "application/json",
            "Origin": f"http://127.0.0.1:{self.port}",
            "Sec-Fetch-Site": "same-origin",
        }
        return self.ask("POST", "/verdicts", own | {k.replace("_", "-"): v for k, v in headers.items()}, body)


@contextmanager
def served(run: RunFolder, site: Path, pages: Mapping[str, str] = SITE) -> Iterator[Served]:
    """Serves a site on a free port, with these pages beside those that it has."""
    for name, text in pages.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text, encoding="utf-8")
    up = threading.Event()
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    with listening(0) as listener:

        async def serve() -> None:
            end = asyncio.Event()
            async with serving(listener, answers(run, site, port_of(listener))):
                ends.append((asyncio.get_running_loop(), end))
                up.set()
                await end.wait()

        thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
        thread.start()
        assert up.wait(30)
        ((loop, end),) = ends
        try:
            yield Served(run, site, port_of(listener))
        finally:
            loop.call_soon_threadsafe(end.set)
            thread.join()
