"""Progress of each stage, kept in small files in the run folder, so that any process can read it."""

import json
import os
import time
from dataclasses import dataclass, field

from pipeline.config import BuildConfig
from pipeline.files.atomic import writing
from pipeline.files.damage import DamageError
from pipeline.run.store import Manifest, RunFolder
from pipeline.stages.registry import INGEST, STAGES, config_digests, current_manifest, stage_named

_SECONDS_BETWEEN_WRITES = 0.5


@dataclass
class ShardProgress:
    """Counts the traces of one shard as a stage ends them, and tells of it twice a second at most."""

    run: RunFolder
    stage: str
    shard: int
    done: int = 0
    _written: float = field(default=0.0, init=False)

    def advance(self) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self._written >= _SECONDS_BETWEEN_WRITES:
            self._written = now
            self._write()

    def finish(self) -> None:
        """Removes the progress file: the manifest replaces it."""
        self.run.progress(self.stage, self.shard).unlink(missing_ok=True)

    def _write(self) -> None:
        path = self.run.progress(self.stage, self.shard)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"done": self.done}))
            temporary.replace(path)


@dataclass(frozen=True)
class StageProgress:
    """Traces that a stage has ended, of those it is known to get; shards it has finished.

    begun: whether the stage before has given it anything to do.
    """

    stage: str
    begun: bool
    done: int
    expected: int
    shards_done: int
    shards: int


@dataclass
class ProgressReader:
    """Reads how far a run is; remembers finished shards, so that a look costs little."""

    run: RunFolder
    build: BuildConfig
    _finished: dict[tuple[str, int], Manifest] = field(default_factory=dict, init=False)
    _digests: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._digests = config_digests(self.build)

    def step(self) -> str:
        """What the run is about to do; empty where it has not said."""
        try:
            # Whatever has befallen it: the run writes it anew with its next step.
            return self.run.step_file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def read(self) -> list[StageProgress]:
        """One entry per stage after ingest; none while ingest is at work."""
        shards = 0
        while self._manifest(INGEST, shards) is not None:
            shards += 1
        progress = []
        before = INGEST
        for stage in STAGES if shards else ():
            progress.append(self._stage(stage.name, before, shards))
            before = stage.name
        return progress

    def _stage(self, stage: str, before: str, shards: int) -> StageProgress:
        done = 0
        finished = 0
        expected = 0
        begun = False
        for shard in range(shards):
            manifest = self._manifest(stage, shard)
            if manifest is not None:
                done += manifest.rows_in
                expected += manifest.rows_in
                finished += 1
                begun = True
                continue
            running = self._running(stage, shard)
            done += running
            given = self._manifest(before, shard)
            # On a journey, a trace comes before the stage it comes from has ended for the shard.
            begun = begun or given is not None or running > 0
            given = given or self._manifest(INGEST, shard)
            expected += given.rows_out if given else 0
        return StageProgress(stage, begun, done, expected, finished, shards)

    def _manifest(self, stage: str, shard: int) -> Manifest | None:
        known = self._finished.get((stage, shard))
        if known is None:
            known = self._read(stage, shard)
            if known is not None:
                self._finished[stage, shard] = known
        return known

    def _read(self, stage: str, shard: int) -> Manifest | None:
        try:
            if stage == INGEST:
                return self.run.read_manifest(stage, shard)
            return current_manifest(self.run, self._digests, stage_named(stage), shard)
        except DamageError:
            return None  # the run at work will make it anew

    def _running(self, stage: str, shard: int) -> int:
        try:
            return int(json.loads(self.run.progress(stage, shard).read_text())["done"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0
