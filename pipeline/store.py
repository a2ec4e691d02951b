"""The run folder: where each stage's shards and manifests lie, and which of them are current."""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files import file_digest, replacing, value_digest, write_json, write_table, writing
from pipeline.llm.model import Usage
from pipeline.outcomes import ShardResult


class StoreError(Exception):
    """The run folder cannot be used as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Manifest:
    """What was made of one shard by one stage. The shard file counts only where its manifest says so."""

    stage: str
    version: int
    shard: int
    input: str
    config: str
    output: str
    output_bytes: int
    rows_in: int
    rows_out: int
    failed: int
    prompts: list[str] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    usage: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        out = self.rows_out + sum(self.rejected.values()) + self.failed
        if self.rows_in != out:
            raise StoreError(
                f"{self.stage}, shard {self.shard}: {self.rows_in} traces came in and {out} came out "
                f"({self.rows_out} done, {sum(self.rejected.values())} rejected, {self.failed} failed); "
                "nothing was written: this is a defect of the stage, please report it"
            )


@dataclass(frozen=True)
class RunFolder:
    """Paths and manifests of one run."""

    root: Path

    def shard(self, stage: str, shard: int) -> Path:
        return self.root / stage / f"shard-{shard:05d}.parquet"

    def manifest(self, stage: str, shard: int) -> Path:
        return self.root / stage / f"shard-{shard:05d}.json"

    def rejected(self, stage: str, shard: int) -> Path:
        return self.root / "rejected" / f"{stage}-{shard:05d}.parquet"

    def failed(self, stage: str, shard: int) -> Path:
        return self.root / "failed" / f"{stage}-{shard:05d}.parquet"

    def replies(self, stage: str, shard: int) -> Path:
        return self.root / "replies" / f"{stage}-{shard:05d}.jsonl"

    def progress(self, stage: str, shard: int) -> Path:
        return self.root / "progress" / f"{stage}-{shard:05d}.json"

    @property
    def publish(self) -> Path:
        return self.root / "publish"

    @property
    def stop_file(self) -> Path:
        return self.root / "stop"

    @property
    def totals(self) -> Path:
        return self.root / "run.json"

    @property
    def config_file(self) -> Path:
        return self.root / "config.json"

    @property
    def step_file(self) -> Path:
        return self.root / "progress" / "step.txt"

    def tell(self, step: str) -> None:
        """Says what the run is about to do, for whoever watches the folder."""
        self.step_file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.step_file) as temporary:
            temporary.write_text(step, encoding="utf-8")

    def read(self, stage: str, shard: int) -> pa.Table:
        return pq.read_table(self.shard(stage, shard))

    def read_manifest(self, stage: str, shard: int) -> Manifest | None:
        """The manifest of a shard, or None where the stage has not finished it."""
        path = self.manifest(stage, shard)
        try:
            return Manifest(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"{path}: not a manifest of this version ({error}); remove the file and run again"
            ) from error

    def current(self, stage: str, shard: int, *, input: str, config: str, version: int) -> Manifest | None:
        """The manifest, where its result still holds: same input, config and code, and nothing failed."""
        manifest = self.read_manifest(stage, shard)
        if manifest is None or manifest.failed:
            return None
        path = self.shard(stage, shard)
        whole = path.exists() and path.stat().st_size == manifest.output_bytes
        same = (manifest.input, manifest.config, manifest.version) == (input, config, version)
        return manifest if whole and same else None

    def write(
        self,
        stage: str,
        shard: int,
        result: ShardResult,
        *,
        rows_in: int,
        input: str,
        config: str,
        version: int,
        usage: dict[str, Usage],
        seconds: float,
        prompts: Sequence[str] = (),
    ) -> Manifest:
        """Writes a shard's three tables, then the manifest that makes them count.

        Raises StoreError, before anything is written, where the rows do not add up.
        """
        reasons = Counter(result.rejected.column("reason").to_pylist())
        path = self.shard(stage, shard)
        facts: dict[str, Any] = {
            "stage": stage,
            "version": version,
            "shard": shard,
            "input": input,
            "config": config,
            "rows_in": rows_in,
            "rows_out": result.done.num_rows,
            "failed": result.failed.num_rows,
            "prompts": list(prompts),
            "rejected": dict(sorted(reasons.items())),
            "counters": dict(sorted(result.counters.items())),
            "usage": {purpose: asdict(used) for purpose, used in sorted(usage.items())},
            "seconds": round(seconds, 3),
        }
        Manifest(**facts, output="", output_bytes=0)
        self.manifest(stage, shard).unlink(missing_ok=True)
        _write_or_remove(result.rejected, self.rejected(stage, shard))
        _write_or_remove(result.failed, self.failed(stage, shard))
        write_table(result.done, path)
        manifest = Manifest(**facts, output=file_digest(path), output_bytes=path.stat().st_size)
        write_json(asdict(manifest), self.manifest(stage, shard))
        return manifest

    def remove_shards_from(self, shard: int, stages: Sequence[str]) -> None:
        """Removes what earlier runs left of shards that a smaller selection no longer has; replies stay."""
        for stage in stages:
            for manifest in sorted((self.root / stage).glob("shard-*.json")):
                number = int(manifest.stem.removeprefix("shard-"))
                if number >= shard:
                    manifest.unlink()
                    for path in (self.shard, self.rejected, self.failed):
                        path(stage, number).unlink(missing_ok=True)

    @contextmanager
    def lock(self, *, otherwise: str = ", or name another with --run-dir") -> Iterator[None]:
        """Holds the run folder for this process; a second run on it is refused.

        otherwise: what can be done besides waiting, for the message. Raises StoreError, WriteError.
        """
        path = self.root / "lock"
        with writing(path):
            self.root.mkdir(parents=True, exist_ok=True)
            opened = path.open("a+")
        with opened as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise StoreError(
                    f"{self.root}: another run (process {file.read().strip() or 'unknown'}) is working on "
                    f"this folder; wait for it{otherwise}"
                ) from error
            # What a killed run was writing; nobody else writes here now.
            for leftover in self.root.glob("**/.*.tmp"):
                leftover.unlink(missing_ok=True)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def config_digest(part: Any) -> str:
    """Digest of the part of a config that a stage's result depends on."""
    return value_digest(part)


def _write_or_remove(table: pa.Table, path: Path) -> None:
    if table.num_rows:
        write_table(table, path)
    else:
        path.unlink(missing_ok=True)
