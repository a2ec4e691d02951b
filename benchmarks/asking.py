"""What an evaluation makes of an endpoint: its throughput beside the same requests sent at once.

    python -m benchmarks asking

The stub model answers each request after a second, in a process of its own. First a bare loop keeps as many
requests open as the evaluation does, and does nothing with what comes; then the evaluation asks, keeps each
response in its file and judges it.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.build_speed import stub_server
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.evaluation import evaluate_model, read_tasks
from pipeline.evaluate.problems import Problem

LATENCY_SECONDS = 1.0
TASK = "register-machine:6x6"


def run(requests: int = 640) -> dict[str, float]:
    """Seconds of both, and their ratio."""
    with stub_server(LATENCY_SECONDS) as endpoint, tempfile.TemporaryDirectory() as folder:
        place = f"stub={endpoint}"
        config = EvaluateConfig(models=(place,), tasks=(TASK,), limit=requests)
        bare = asyncio.run(_bare(endpoint, read_tasks(config)[TASK].problems, config.llm.max_in_flight))
        table = evaluate_model(place, config, Path(folder), lambda line: None).table
        assert len(table) == requests
        # Those of the responses add up to the time from the first request to the last that was kept.
        seconds = sum(table["seconds"].to_pylist())
    return {
        "requests": requests,
        "open at once": config.llm.max_in_flight,
        "seconds of a reply": LATENCY_SECONDS,
        "seconds, sent at once": bare,
        "seconds, evaluated": seconds,
        "throughput, evaluated of sent at once": bare / seconds,
    }


async def _bare(endpoint: str, problems: list[Problem], most: int) -> float:
    """Seconds until all are answered."""
    slots = asyncio.Semaphore(most)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(body: dict[str, Any]) -> None:
            async with slots, session.post(f"{endpoint}/chat/completions", json=body) as response:
                response.raise_for_status()
                await response.read()

        began = time.monotonic()
        bodies = [
            {"model": "stub", "messages": [{"role": "user", "content": problem.prompt}], "max_tokens": 32_768}
            for problem in problems
        ]
        await asyncio.gather(*map(ask, bodies))
        return time.monotonic() - began
