"""The run folder: where each stage's shards and manifests lie, and which of them are current."""

import fcntl
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import schemas.tables
from pipeline.files.atomic import (
    WriteError,
    file_digest,
    remove_leftovers,
    replacing,
    value_digest,
    write_table,
    writing,
)
from pipeline.files.damage import DamageError, whole_content
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.llm.model import Usage
from pipeline.run.outcomes import ShardResult

_NUMBERED = re.compile(r"shard-(\d+)\.(json|parquet)")


class StoreError(Exception):
    """The run folder cannot be used as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Manifest:
    """What was made of one shard by one stage. The shard file counts only where its manifest says so.

    left_out: of the tables of rejected and of failed traces, where there are any, the [bytes, SHA-256].
    """

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
    left_out: dict[str, list[Any]] = field(default_factory=dict)

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

    def places(self, shard: int) -> Path:
        """Which traces ingest has put into a shard; known even where the shard itself is lost."""
        return self.root / "places" / f"shard-{shard:05d}.json"

    def replies(self, stage: str, shard: int) -> Path:
        return self.root / "replies" / f"{stage}-{shard:05d}.jsonl"

    def progress(self, stage: str, shard: int) -> Path:
        return self.root / "progress" / f"{stage}-{shard:05d}.json"

    def effort(self, stage: str, shard: int) -> Path:
        """What each trace took in a stage that asks a model; read by reports alone (`effort.py`)."""
        return self.root / "effort" / f"{stage}-{shard:05d}.parquet"

    @property
    def publish(self) -> Path:
        return self.root / "publish"

    @property
    def report(self) -> Path:
        """The pages that `openmementos report` writes."""
        return self.root / "report"

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
    def verdicts(self) -> Path:
        """What a person thinks of the mementos (`pipeline/verdicts`)."""
        return self.root / "verdicts.parquet"

    @property
    def step_file(self) -> Path:
        return self.root / "progress" / "step.txt"

    @property
    def status_file(self) -> Path:
        return self.root / "status.json"

    def step(self) -> str:
        """What the run has said last; empty where it has not said anything."""
        try:
            # Whatever has befallen it: the run writes it anew with its next step.
            return self.step_file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def tell(self, step: str) -> None:
        """Says what the run is about to do, for whoever watches the folder; where that can be written."""
        try:
            with replacing(self.step_file) as temporary:
                temporary.write_text(step, encoding="utf-8")
        except (OSError, WriteError):
            # A disk that is full is told of by what the run is made of; what it said before is no longer so.
            with suppress(OSError):
                self.step_file.unlink(missing_ok=True)

    def shards(self, stage: str) -> list[int]:
        """Numbers of the shards of which the stage has left a file or a manifest, ascending."""
        names = (path.name for path in (self.root / stage).glob("shard-*"))
        return sorted({int(found[1]) for name in names if (found := _NUMBERED.fullmatch(name))})

    def read(self, stage: str, shard: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a shard. Raises DamageError, StoreError as `opened` does."""
        with pq.ParquetFile(self.opened(stage, shard)) as file:
            return file.read(columns=None if columns is None else list(columns))

    def opened(self, stage: str, shard: int) -> pa.BufferReader:
        """A shard's file, in memory, for readers of Parquet.

        Raises DamageError where it is not what its manifest says, StoreError where it has none.
        """
        manifest = self.read_manifest(stage, shard)
        if manifest is None:
            raise StoreError(f"{self.manifest(stage, shard)}: no such file, so the shard is not finished")
        return pa.BufferReader(whole_content(self.shard(stage, shard), manifest.output))

    def read_rejected(self, stage: str, shard: int) -> pa.Table:
        """The traces of a shard that the stage has rejected. Raises DamageError."""
        return self._read_left_out("rejected", stage, shard, schemas.tables.REJECTED)

    def read_failed(self, stage: str, shard: int) -> pa.Table:
        """The traces of a shard that have failed in the stage. Raises DamageError."""
        return self._read_left_out("failed", stage, shard, schemas.tables.FAILED)

    def _read_left_out(self, which: str, stage: str, shard: int, schema: pa.Schema) -> pa.Table:
        manifest = self.read_manifest(stage, shard)
        path = self._left_out(which, stage, shard)
        if manifest is not None and which in manifest.left_out:
            return pq.read_table(pa.BufferReader(whole_content(path, manifest.left_out[which][1])))
        # Manifests of older versions say nothing of these tables.
        return pq.read_table(path) if manifest is not None and path.exists() else schema.empty_table()

    def _left_out(self, which: str, stage: str, shard: int) -> Path:
        return {"rejected": self.rejected, "failed": self.failed}[which](stage, shard)

    def read_manifest(self, stage: str, shard: int) -> Manifest | None:
        """The manifest of a shard, or None where the stage has not finished it. Raises DamageError."""
        path = self.manifest(stage, shard)
        try:
            return Manifest(**read_sealed(path, always=False))
        except FileNotFoundError:
            return None
        except (TypeError, StoreError) as error:
            raise DamageError(path, f"not a manifest of this version: {error}") from error

    def current(self, stage: str, shard: int, *, input: str, config: str, version: int) -> Manifest | None:
        """The manifest, where its result still holds: same input, config and code, and nothing failed.

        Of the files only the sizes are looked at; their bytes are checked when they are read, and all of
        them when a build begins (`mend`).
        """
        manifest = self.read_manifest(stage, shard)
        if manifest is None or manifest.failed:
            return None
        whole = all(_size(path) == size for path, size, _ in self.files(manifest))
        same = (manifest.input, manifest.config, manifest.version) == (input, config, version)
        return manifest if whole and same else None

    def files(self, manifest: Manifest) -> list[tuple[Path, int, str]]:
        """The files that a manifest speaks of, with the bytes and the SHA-256 that they were written with."""
        stage, shard = manifest.stage, manifest.shard
        return [
            (self.shard(stage, shard), manifest.output_bytes, manifest.output),
            *(
                (self._left_out(which, stage, shard), size, sha256)
                for which, (size, sha256) in manifest.left_out.items()
            ),
        ]

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
        for which, table in (("rejected", result.rejected), ("failed", result.failed)):
            left_out = self._left_out(which, stage, shard)
            if table.num_rows:
                write_table(table, left_out)
                facts.setdefault("left_out", {})[which] = list(_size_and_digest(left_out))
            else:
                left_out.unlink(missing_ok=True)
        write_table(result.done, path)
        size, sha256 = _size_and_digest(path)
        manifest = Manifest(**facts, output=sha256, output_bytes=size)
        write_sealed(asdict(manifest), self.manifest(stage, shard))
        return manifest

    def remove_shards_from(self, shard: int, stages: Sequence[str]) -> None:
        """Removes what earlier runs left of shards that a smaller selection no longer has; replies stay."""
        for stage in stages:
            for number in self.shards(stage):
                if number >= shard:
                    for path in (self.manifest, self.shard, self.rejected, self.failed, self.effort):
                        path(stage, number).unlink(missing_ok=True)

    @contextmanager
    def lock(self, *, otherwise: str = ", or name another with --run-dir") -> Iterator[None]:
        """Holds the run folder for this process; a second run on it is refused.

        otherwise: what can be done besides waiting, for the message. Raises StoreError, WriteError.
        """
        path = self.root / "lock"
        with writing(path):
            self.root.mkdir(parents=True, exist_ok=True)
            opened = path.open("a+", errors="replace")
        with opened as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise StoreError(
                    f"{self.root}: another run (process {file.read().strip() or 'unknown'}) is working on "
                    f"this folder; wait for it{otherwise}"
                ) from error
            # Nobody else writes here now but who writes the report, which has a lock of its own.
            remove_leftovers(self.root, but=self.report)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def config_digest(part: Any) -> str:
    """Digest of the part of a config that a stage's result depends on."""
    return value_digest(part)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _size_and_digest(path: Path) -> tuple[int, str]:
    return path.stat().st_size, file_digest(path)
