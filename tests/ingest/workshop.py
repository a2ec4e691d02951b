"""Sources of traces as small files, and what an ingest makes of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import BuildConfig
from pipeline.ingest import ingest
from pipeline.run.store import RunFolder


def make_row(n: int = 0, /, **columns: Any) -> dict[str, Any]:
    """A good row in OpenThoughts3 layout, different for each n; `response` replaces the whole answer."""
    response = columns.pop("response", f"<think>\nLet me add {n} and 1.\n</think>\n\nIt is {n + 1}.")
    problem = columns.pop("problem", f"What is {n} + 1?")
    turns = [{"from": "human", "value": problem}, {"from": "gpt", "value": response}]
    return {"difficulty": None, "source": "made", "domain": "math", "conversations": turns} | columns


class Killed(Exception):
    pass


def killing(calls: int) -> Callable[[int, int], None]:
    """Takes reports of progress, and kills who makes one after so many."""
    seen: list[int] = []

    def report(done: int, total: int) -> None:
        if len(seen) == calls:
            raise Killed
        seen.append(done)

    return report


@dataclass
class Workshop:
    """A folder for source files, and a run folder beside it."""

    folder: Path
    run: RunFolder
    progress: list[tuple[int, int]] = field(default_factory=list)

    def jsonl(self, name: str, rows: list[Any]) -> Path:
        """Writes JSON lines; what is already bytes is written as it is."""
        lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in rows]
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    def parquet(self, name: str, rows: list[dict[str, Any]], **options: Any) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path, **options)
        return path

    def config(self, **settings: Any) -> BuildConfig:
        source = {"paths": [str(self.folder)]} | settings.pop("source", {})
        return BuildConfig.model_validate({"name": "test", "source": source} | settings)

    def ingest(self, on_progress: Callable[[int, int], None] | None = None, **settings: Any) -> int:
        """The number of shards; what was reported of the progress is in `progress`."""
        self.progress.clear()
        report = on_progress or (lambda done, total: self.progress.append((done, total)))
        self.shards = ingest(self.config(**settings), self.run, report)
        return self.shards

    def slot(self) -> list[dict[str, Any]]:
        return [row for n in range(self.shards) for row in self.run.read("ingest", n).to_pylist()]

    def rejected(self) -> list[dict[str, Any]]:
        paths = [self.run.rejected("ingest", n) for n in range(self.shards)]
        return [row for path in paths if path.exists() for row in pq.read_table(path).to_pylist()]

    def reasons(self) -> list[str]:
        return [row["reason"] for row in self.rejected()]
