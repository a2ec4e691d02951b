"""What a build makes of the real engine: its throughput beside the same requests sent all at once.

    python -m benchmarks.engine                    # bundled model: half an hour
    python -m benchmarks.engine --limit 8 --source data/sample/traces.jsonl

A proxy in front of the engine keeps every request of the build and when it was open; then the engine, its
cache emptied by a restart, gets the same requests at once. The engine's own /metrics tell tokens and queue.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import aiohttp
import matplotlib.pyplot as plt
import typer
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from benchmarks.text import SOURCES
from pipeline.config import LlmConfig
from pipeline.llm.serving import ServedModel, starting
from tests.servers.background import Background

ROOT = Path(__file__).parents[1]
PICTURE = Path(__file__).with_name("engine-queue.png")
LOOK_SECONDS = 0.5
# A build of few traces is mostly its end, when the last mementos are judged and refined one after the other.
TRACES = 12
COUNTERS = ("prompt_tokens_total", "prefix_cache_hits_total", "generation_tokens_total")


@dataclass
class Recorder(Background):
    """Passes everything on to an engine; keeps the bodies, and the engine's running and waiting requests.

    queue: seconds since the first request, running, waiting.
    """

    engine: str
    port: int = 0
    bodies: list[bytes] = field(default_factory=list)
    queue: list[tuple[float, float, float]] = field(default_factory=list)
    first: float = 0.0
    last: float = 0.0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.cleanup_ctx.append(self._watched)
        return app

    async def _watched(self, app: web.Application) -> AsyncIterator[None]:
        # The engine closes a connection that has been idle for 5 s, as the client (llm.http) knows.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3.0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            app["session"] = session
            watch = asyncio.create_task(self._watch(session))
            yield
            watch.cancel()

    async def _watch(self, session: aiohttp.ClientSession) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.first:
                told = await metrics(session, self.engine)
                running, waiting = told["num_requests_running"], told["num_requests_waiting"]
                self.queue.append((time.monotonic() - self.first, running, waiting))

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        self.first = self.first or time.monotonic()
        headers = {"Content-Type": "application/json"}
        url = f"{self.engine}/chat/completions"
        async with request.app["session"].post(url, data=body, headers=headers) as answer:
            content = await answer.read()
        self.last = time.monotonic()
        return web.Response(body=content, status=answer.status, content_type="application/json")

    async def _models(self, request: web.Request) -> web.Response:
        async with request.app["session"].get(f"{self.engine}/models") as answer:
            return web.Response(body=await answer.read(), content_type="application/json")


async def metrics(session: aiohttp.ClientSession, engine: str) -> dict[str, float]:
    """The engine's gauges and counters, added up over its models."""
    async with session.get(engine.removesuffix("/v1") + "/metrics") as answer:
        text = await answer.text()
    told: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix("vllm:")
            told[name] = told.get(name, 0.0) + sample.value
    return told


def run(model: str = "bundled", limit: int = TRACES, source: Path | None = None) -> dict[str, float]:
    """Seconds, tokens and queue of a build; seconds of its requests at once; the ratio.

    source: the real traces where they lie beside the project, else the sample.
    """
    source = source or next(path for path in SOURCES if path.exists())
    llm = LlmConfig(model=model)
    with served(llm) as engine, Recorder(engine.endpoints[0]) as recorder:
        _build(f"http://127.0.0.1:{recorder.port}/v1", engine.model, source, limit)
        told = asyncio.run(_metrics(engine.endpoints[0]))
    with served(llm) as engine:
        at_once = asyncio.run(_at_once(engine.endpoints[0], recorder.bodies))
        told_at_once = asyncio.run(_metrics(engine.endpoints[0]))
    seconds = recorder.last - recorder.first
    _draw(recorder.queue)
    inside = [running + waiting for at, running, waiting in recorder.queue if at <= seconds]
    figures = {
        f"traces of {source.name}": float(limit),
        "requests": float(len(recorder.bodies)),
        "build, seconds": seconds,
        "at once, seconds": at_once,
    }
    for name in COUNTERS:
        figures |= {f"build, {name}": told[name], f"at once, {name}": told_at_once[name]}
    return figures | {
        "build, throughput of the engine's": at_once / seconds,
        "build, share of looks with nothing in the engine": sum(n == 0 for n in inside) / len(inside),
        "build, requests in the engine on average": sum(inside) / len(inside),
    }


@contextmanager
def served(llm: LlmConfig) -> Iterator[ServedModel]:
    """A fresh engine with nothing in its cache."""
    with tempfile.TemporaryDirectory() as folder:
        say = Console(stderr=True).print
        with starting(llm, Path(folder, "engine.log"), say) as coming:
            yield coming.ready()


def _build(endpoint: str, model: str, source: Path, limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipeline", "build", "--config", "flows/configs/sample.yaml"]
        command += ["--endpoint", endpoint, "--model", model, "--run-dir", f"{folder}/run"]
        command += ["--source", str(source.resolve()), "--limit", str(limit)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        done = subprocess.run(command, cwd=ROOT, env={**clean, "PREFECT_HOME": f"{folder}/prefect"})
        if done.returncode not in (0, 3):
            raise RuntimeError(f"the build ended with exit code {done.returncode}")


async def _at_once(engine: str, bodies: list[bytes]) -> float:
    """Seconds that the engine takes for all requests when it has them from the start."""
    headers = {"Content-Type": "application/json"}
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:

        async def ask(body: bytes) -> None:
            async with session.post(f"{engine}/chat/completions", data=body) as answer:
                await answer.read()

        began = time.monotonic()
        await asyncio.gather(*map(ask, bodies))
        return time.monotonic() - began


async def _metrics(engine: str) -> dict[str, float]:
    async with aiohttp.ClientSession() as session:
        return await metrics(session, engine)


def _draw(queue: list[tuple[float, float, float]]) -> None:
    """num_requests_running and num_requests_waiting over the build, as a picture."""
    figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
    at, running, waiting = zip(*queue, strict=True)
    axes.stackplot(at, running, waiting, labels=("running", "waiting"), colors=("#3a6ea5", "#c9d8e8"))
    axes.set_xlabel("seconds since the first request")
    axes.set_ylabel("requests in the engine")
    axes.legend(loc="upper right")
    axes.margins(x=0)
    figure.savefig(PICTURE, dpi=110)


def main(
    model: Annotated[str, typer.Option(help="Model that the engine serves.")] = "bundled",
    limit: Annotated[int, typer.Option(help="Traces to build, by chance and the same every time.")] = TRACES,
    source: Annotated[Path | None, typer.Option(help="Where they come from.")] = None,
) -> None:
    """Prints the figures and draws the engine's queue."""
    for name, value in run(model, limit, source).items():
        print(f"{value:12.2f}  {name}")
    print(f"drawn: {PICTURE}")


if __name__ == "__main__":
    typer.run(main)
