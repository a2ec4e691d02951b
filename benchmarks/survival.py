"""What a build survives: `kill -9` at random moments, and a storm of faults with the death of its endpoint.

    python -m benchmarks.survival --kills 20 --seed 0

The build is the command itself, on the sample, against the stub model. A killed run goes on until it is
killed again or ends; one that has ended must have the bytes of the run that was never killed.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import typer

from pipeline.commands.prefect_server import prefect_for_a_run
from pipeline.files.atomic import file_digest
from pipeline.stages.registry import INGEST, STAGES
from tests.servers.stub_llm import StubLlm

ROOT = Path(__file__).parents[1]
LATENCY_SECONDS = 0.02
# The bar of design section 9.
STORM = {
    "server_error": 0.10,
    "rate_limit": 0.05,
    "reset": 0.05,
    "hang": 0.02,
    "bad_json": 0.01,
    "empty": 0.01,
    "wrong_choice": 0.01,
}
REPLIES_BEFORE_DEATH = 100


def run(kills: int = 20, seed: int = 0) -> dict[str, float]:
    """Counts of what was survived. Raises AssertionError where a byte differs or a trace is lost."""
    with tempfile.TemporaryDirectory() as folder:
        home = patch.dict(os.environ, PREFECT_HOME=str(Path(folder, "prefect")))
        with home, prefect_for_a_run():
            return _kills(Path(folder), kills, random.Random(seed)) | _storm(Path(folder), seed)


def _kills(root: Path, kills: int, chance: random.Random) -> dict[str, float]:
    left, runs, restarts = kills, 0, 0
    with StubLlm(latency_seconds=LATENCY_SECONDS, record=False) as stub:
        began = time.monotonic()
        assert start(stub.endpoint, root / "whole").wait() == 0
        seconds = time.monotonic() - began
        wanted = _digests(root / "whole")
        while left or runs == 0:
            broken = root / f"broken-{runs}"
            while True:
                process = start(stub.endpoint, broken)
                restarts += 1
                if left and _killed_after(process, chance.uniform(0, seconds)):
                    left -= 1
                    continue
                assert process.wait() == 0, "a resumed run did not end well"
                break
            assert _digests(broken) == wanted, "a killed run has other bytes"
            runs += 1
    return {
        "kills": kills,
        "runs that ended after them with the same bytes": runs,
        "starts of the command": restarts,
        "seconds of a run that is left alone": seconds,
    }


def _killed_after(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the process was still at work, and was killed."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def _storm(root: Path, seed: int) -> dict[str, float]:
    run_dir = root / "storm"
    stub = StubLlm(rates=STORM, fault_seed=seed, record=False)
    with stub:
        process = start(stub.endpoint, run_dir, "--set", "llm.request_timeout_seconds=3")
        while stub.totals.requests < REPLIES_BEFORE_DEATH and process.poll() is None:
            time.sleep(0.05)
        assert process.poll() is None, "the run ended before its endpoint died"
    faults = stub.totals.faults
    # The same port, as an engine that was restarted has it.
    with StubLlm(rates=STORM, fault_seed=seed + 1, record=False, port=stub.port) as second:
        assert process.wait() in (0, 3), "the storm stopped the run"
        assert second.totals.requests, "nothing was asked after the death"
        faults += second.totals.faults
        told = _totals(run_dir)
    ended = told["done"] + told["not_chosen"] + sum(told["rejected"].values()) + told["failed"]
    assert ended == told["traces_in"], "traces are lost"
    return {
        "faults in the storm": faults,
        "requests answered in it": stub.totals.requests + second.totals.requests,
        "traces in": told["traces_in"],
        "traces done": told["done"],
        "traces rejected": sum(told["rejected"].values()),
        "traces failed": told["failed"],
    }


def start(endpoint: str, run_dir: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", "build", "--config", "flows/configs/sample.yaml", "--json"]
    command += ["--endpoint", endpoint, "--model", "stub", "--run-dir", str(run_dir)]
    # The form with the most requests: more moments to be killed at.
    command += ["--set", "score.form=window", *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _totals(run_dir: Path) -> dict[str, Any]:
    return json.loads((run_dir / "run.json").read_text("utf-8"))  # type: ignore[no-any-return]


def _digests(run_dir: Path) -> dict[str, str]:
    """SHA-256 of every published file, and of every stage's shards."""
    published = (path for path in (run_dir / "publish").rglob("*") if path.is_file())
    # Not their manifests, which tell seconds and what came from disk.
    shards = (
        path for name in (INGEST, *(s.name for s in STAGES)) for path in (run_dir / name).glob("*.parquet")
    )
    return {str(path.relative_to(run_dir)): file_digest(path) for path in (*published, *shards)}


def main(
    kills: Annotated[int, typer.Option(help="Kills in all.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of their moments.")] = 0,
) -> None:
    """Prints the counts."""
    for name, value in run(kills, seed).items():
        print(f"{value:12.2f}  {name}")


if __name__ == "__main__":
    typer.run(main)
