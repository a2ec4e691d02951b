"""How many requests are asked again after `kill -9`, and how many of them had been answered.

    python -m benchmarks.asked_twice --kills 8

The build is the command itself, on the sample, against the stub model, killed once a random number of its
requests has been answered, and then run to its end. An answered request that is asked again had its answer in
a buffer of the system, or in the process and not yet in the file.
"""

import json
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import typer
from aiohttp import web

from benchmarks.survival import start
from pipeline.commands.prefect_server import prefect_for_a_run
from pipeline.files.atomic import value_digest
from tests.servers.stub_llm import StubLlm

LATENCY_SECONDS = 0.2


@dataclass
class Ledger(StubLlm):
    """A stub that writes down each request, by its digest, when it comes and when it has been answered."""

    asked: list[str] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        digest = value_digest(json.loads(await request.read()))
        self.asked.append(digest)
        response = await super()._chat(request)
        await response.prepare(request)
        await response.write_eof()
        self.answered.add(digest)
        return response


def run(kills: int = 8, seed: int = 0, latency_seconds: float = LATENCY_SECONDS) -> dict[str, float]:
    """Counts over so many kills."""
    chance = random.Random(seed)
    again, answered = [], []
    with tempfile.TemporaryDirectory() as folder:
        home = patch.dict(os.environ, PREFECT_HOME=str(Path(folder, "prefect")))
        with home, prefect_for_a_run():
            with Ledger(latency_seconds=latency_seconds, record=False) as stub:
                assert start(stub.endpoint, Path(folder, "whole")).wait() == 0
            requests = len(stub.asked)
            for number in range(kills):
                # Late enough to have something open, and before most traces have ended.
                after = chance.randrange(requests // 20, requests * 4 // 5)
                with Ledger(latency_seconds=latency_seconds, record=False) as stub:
                    lost = _killed(stub, Path(folder, f"run-{number}"), after, chance.uniform(0, 0.2))
                again.append(len(lost[0]))
                answered.append(len(lost[1]))
    return {
        "kills": kills,
        "requests of a run that is left alone": requests,
        "requests asked again, most": max(again),
        "requests asked again, mean": statistics.mean(again),
        "of them answered before the kill, most": max(answered),
        "of them answered before the kill, mean": statistics.mean(answered),
    }


def _killed(stub: Ledger, run_dir: Path, after: int, wait: float) -> tuple[set[str], set[str]]:
    """Requests that were asked again after a kill, and those of them that had been answered.

    The kill comes `wait` seconds after the stub has answered `after` requests.
    """
    process = start(stub.endpoint, run_dir)
    while len(stub.answered) < after:
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.001)
    # Else always just when an answer has come.
    time.sleep(wait)
    answered = set(stub.answered)
    process.kill()
    process.wait()
    asked = set(stub.asked)
    stub.asked.clear()
    assert start(stub.endpoint, run_dir).wait() == 0, "a resumed run did not end well"
    again = asked.intersection(stub.asked)
    return again, again & answered


def main(
    kills: Annotated[int, typer.Option(help="Kills in all.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of their moments.")] = 0,
    latency_seconds: Annotated[float, typer.Option(help="Of the stub model.")] = LATENCY_SECONDS,
) -> None:
    """Prints the counts."""
    for name, value in run(kills, seed, latency_seconds).items():
        print(f"{value:12.2f}  {name}")


if __name__ == "__main__":
    typer.run(main)
