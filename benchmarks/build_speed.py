"""Traces per second and memory of a whole build against a stub model without latency: what is not the model.

    python -m benchmarks.build_speed --traces 300
    python -m benchmarks.build_speed --traces 20000 --mean-tokens 11000     # memory over a long run

The build is the command itself, in a process of its own, with its Prefect server; the stub server is another
process. Memory is the sum of the private memory of the build's processes, looked at twice a second.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from benchmarks.scale import real_traces

ROOT = Path(__file__).parents[1]
LOOK_SECONDS = 0.5
ROWS_AT_ONCE = 500
PARTS = 5


def run(traces: int = 300, mean_tokens: int = 11_000) -> dict[str, float]:
    """Traces per second, seconds by stage, and memory by fifths of the run."""
    with tempfile.TemporaryDirectory() as folder, stub_server() as endpoint:
        root = Path(folder)
        tokens = _write_source(root / "source.parquet", traces, mean_tokens)
        command = [sys.executable, "-m", "pipeline", "build", "--config", "flows/configs/teacher.yaml"]
        command += ["--source", str(root / "source.parquet"), "--run-dir", str(root / "run"), "--json"]
        command += ["--endpoint", endpoint, "--model", "stub", "--set", "traces_per_shard=50"]
        with (root / "out").open("w") as out:
            began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
            build = subprocess.Popen(command, cwd=ROOT, env=_environment(root), stdout=out)
            memory = list(_memory(build))
            seconds = time.monotonic() - began
            worked = resource.getrusage(resource.RUSAGE_CHILDREN)
        if build.returncode:
            raise RuntimeError(f"the build ended with exit code {build.returncode}")
        told = json.loads((root / "out").read_text())
    fifths = [
        memory[len(memory) * part // PARTS : len(memory) * (part + 1) // PARTS] for part in range(PARTS)
    ]
    requests = sum(used["requests"] for used in told["usage"].values())
    return {
        "traces": traces,
        "tokens per trace": tokens,
        "traces done": told["done"],
        "requests per trace": requests / traces,
        "traces per second, flow alone": traces / told["seconds"],
        "traces per second, with the start of the command": traces / seconds,
        **{
            f"busy seconds of {stage['stage']} per trace": stage["seconds"] / traces
            for stage in told["stages"]
        },
        **{
            f"MB, fifth {n} of the run": statistics.fmean(part) / 1e6
            for n, part in enumerate(fifths, 1)
            if part
        },
        # Of the build alone: the stub has not ended yet.
        "processor seconds per trace": (_seconds(worked) - _seconds(before)) / traces,
        "MB at most": max(memory) / 1e6,
    }


@contextmanager
def stub_server(latency_seconds: float = 0) -> Iterator[str]:
    """Base URL of a stub model in a process of its own, which ends with the block."""
    command = [sys.executable, "-m", "tests.servers.stub_llm", "--port", "0", "--counter", "lengths"]
    command += ["--latency-seconds", str(latency_seconds)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def _write_source(path: Path, traces: int, mean_tokens: int) -> int:
    """Real traces with changes, those whose mean length is nearest; returns that mean."""
    kept = sorted(real_traces(), key=lambda trace: len(trace["reasoning"]))
    # A token of these traces has three characters and a half.
    while len(kept) > 1 and statistics.fmean(len(t["reasoning"]) for t in kept) < 3.5 * mean_tokens:
        kept = kept[1:]
    schema = pa.schema([("problem", pa.string()), ("response", pa.string()), ("domain", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for first in range(0, traces, ROWS_AT_ONCE):
            numbers = range(first, min(traces, first + ROWS_AT_ONCE))
            file.write_table(pa.Table.from_pylist([_changed(kept, n) for n in numbers], schema))
    return round(statistics.fmean(len(t["reasoning"]) for t in kept) / 3.5)


def _changed(traces: list[dict[str, Any]], number: int) -> dict[str, str]:
    trace = traces[number % len(traces)]
    reply = f"<think>\nThis is try {number}. {trace['reasoning']}</think>\n\n{trace['answer']}"
    return {"problem": trace["problem"], "response": reply, "domain": trace["domain"] or "math"}


def _memory(process: subprocess.Popen[bytes]) -> Iterator[int]:
    """Private bytes of a process and its children, until it ends."""
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            yield sum(one.memory_full_info().uss for one in (parent, *parent.children(recursive=True)))
        time.sleep(LOOK_SECONDS)


def _seconds(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime


def _environment(home: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**clean, "PREFECT_HOME": str(home / "prefect")}


def main(
    traces: Annotated[int, typer.Option(help="Traces to build.")] = 300,
    mean_tokens: Annotated[int, typer.Option(help="Their mean length.")] = 11_000,
) -> None:
    """Prints the figures."""
    for name, value in run(traces, mean_tokens).items():
        print(f"{value:12.2f}  {name}")


if __name__ == "__main__":
    typer.run(main)
