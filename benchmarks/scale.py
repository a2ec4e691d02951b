"""Selection at the size of OpenThoughts-v3: seconds, peak memory, and the same choice after a kill.

`python -m benchmarks.scale` writes a source of 1.2 million short rows, and one of 5,000 rows of real length,
ingests each in a process of its own, and again in one that is killed half-way and resumed.
"""

import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.text import SOURCES
from pipeline.config import BuildConfig, SelectConfig, SourceConfig
from pipeline.files.atomic import file_digest, value_digest
from pipeline.ingest import ingest
from pipeline.run.store import RunFolder

SHORT_ROWS = 1_200_000
REAL_ROWS = 5_000
FILES = 24
ANSWERS = 16  # per question, as in OpenThoughts-v3
LIMIT = 228_557  # rows of microsoft/OpenMementos
DOMAINS = ("math", "code", "science")
Row = dict[str, object]


def run() -> dict[str, float]:
    """Seconds and MB for both sources. Raises AssertionError where a resumed run chooses otherwise."""
    figures: dict[str, float] = {}
    sources = (("short", SHORT_ROWS, _short_rows()), ("real", REAL_ROWS, _real_rows()))
    for name, rows, made in sources:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            _write(root / "source", islice(made, rows), rows // FILES)
            seconds, peak = _ingested(root, "whole")
            _ingested(root, "killed", kill_after=seconds / 2)
            resumed, _ = _ingested(root, "killed")
            assert _digest(root / "whole") == _digest(root / "killed"), "a resumed run chose other rows"
            size = sum(path.stat().st_size for path in (root / "source").iterdir())
        figures |= {
            f"{name} rows": rows,
            f"{name} rows, MB of Parquet": size / 1e6,
            f"{name} rows, seconds": seconds,
            f"{name} rows, rows/s": rows / seconds,
            f"{name} rows, peak MB of all processes": peak / 1e6,
            f"{name} rows, seconds to resume after a kill at half the time": resumed,
        }
    return figures


def _short_rows() -> Iterator[Row]:
    for number in range(sys.maxsize):
        question, answer = divmod(number, ANSWERS)
        thought = (
            f"Let me add {question} and {answer} in my head. That is {question + answer}, and it checks."
        )
        # Every fifth answer is cut off, as many of the real ones are.
        reply = f"<think>\n{thought}\n" + (
            "" if number % 5 == 4 else f"</think>\n\nIt is {question + answer}."
        )
        yield _row(DOMAINS[question % 3], f"What is {question} plus a number of your choice?", reply)


def real_traces() -> list[dict[str, Any]]:
    """The traces of the bench's source, as ingest gives them."""
    source = next(path for path in SOURCES if path.exists())
    build = BuildConfig(name="bench", source=SourceConfig(paths=(str(source),)), traces_per_shard=10**6)
    with tempfile.TemporaryDirectory() as folder:
        ingest(build, RunFolder(Path(folder)), lambda done, total: None)
        return RunFolder(Path(folder)).read("ingest", 0).to_pylist()


def _real_rows() -> Iterator[Row]:
    traces = real_traces()
    for number in range(sys.maxsize):
        trace = traces[number % len(traces)]
        problem = f"{trace['problem']} (variant {number // len(traces)})"
        reply = f"<think>\nThis is try {number}. {trace['reasoning']}</think>\n\n{trace['answer']}"
        yield _row(trace["domain"], problem, reply)


def _row(domain: str, problem: str, reply: str) -> Row:
    turns = [{"from": "human", "value": problem}, {"from": "gpt", "value": reply}]
    return {"difficulty": None, "source": "made", "domain": domain, "conversations": turns}


def _write(folder: Path, rows: Iterator[Row], rows_per_file: int) -> None:
    folder.mkdir()
    for file in range(FILES):
        table = pa.Table.from_pylist(list(islice(rows, rows_per_file)))
        pq.write_table(table, folder / f"{file:02}.parquet", compression="zstd")


def _ingested(root: Path, name: str, kill_after: float | None = None) -> tuple[float, int]:
    """Seconds, and the most bytes that the ingesting process and its children held at once."""
    process = multiprocessing.get_context("spawn").Process(
        target=_ingest, args=(root / "source", root / name)
    )
    started = time.monotonic()
    process.start()
    timer = threading.Timer(kill_after, process.kill) if kill_after else None
    if timer:
        timer.start()
    peak = 0
    while process.is_alive():
        peak = max(peak, _memory(process.pid))
        process.join(0.2)
    if timer:
        timer.cancel()
    elif process.exitcode:
        raise RuntimeError(f"the ingest of {name} ended with {process.exitcode}")
    return time.monotonic() - started, peak


def _ingest(source: Path, run: Path) -> None:
    select = SelectConfig(min_tokens=0, limit=LIMIT, mix=dict.fromkeys(DOMAINS, 1.0))
    ingest(
        BuildConfig(name="bench", source=SourceConfig(paths=(str(source),)), select=select),
        RunFolder(run),
        lambda done, total: None,
    )


def _memory(pid: int | None) -> int:
    """Unshared memory (USS) where the system tells it: pages that processes share count once."""
    found = 0
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            found += one.memory_full_info().uss
    except psutil.NoSuchProcess:
        pass
    return found


def _digest(run: Path) -> str:
    return value_digest([file_digest(path) for path in sorted((run / "ingest").glob("*.parquet"))])


if __name__ == "__main__":
    for what, value in run().items():
        print(f"{value:14.1f}  {what}")
