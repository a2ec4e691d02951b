"""The counts of one stage, added up over shards that are finished and shards that are at work."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from pipeline.run.progress import ShardCounts
from pipeline.run.rates import Moved
from pipeline.run.store import Manifest


@dataclass
class StageSum:
    """What has left a stage and what it has asked. own: the part that this run has done.

    usage: by purpose, the entries of Usage.
    """

    expected: int = 0
    done: int = 0
    rejected: int = 0
    failed: int = 0
    running: int = 0
    begun: bool = False
    at_work: bool = False
    usage: dict[str, Counter[str]] = field(default_factory=dict)
    own: Moved = field(default_factory=Moved)

    def copy(self) -> "StageSum":
        usage = {purpose: Counter(used) for purpose, used in self.usage.items()}
        return StageSum(**{**vars(self), "usage": usage})

    def add_finished(self, manifest: Manifest, *, own: bool) -> None:
        """Adds a finished shard."""
        self.expected += manifest.rows_in
        rejected = sum(manifest.rejected.values())
        self._add(manifest.rows_in, rejected, manifest.failed, manifest.usage, own=own)

    def add_at_work(self, counts: ShardCounts) -> None:
        """Adds a shard that this run is working on; what is expected of it is the caller's to add."""
        self.running += counts.running
        usage = {purpose: asdict(used) for purpose, used in counts.usage.items()}
        self._add(counts.out, counts.rejected, counts.failed, usage, own=True)

    def total(self, name: str) -> int:
        """Of one entry of Usage, over all purposes."""
        return sum(used[name] for used in self.usage.values())

    def _add(
        self, done: int, rejected: int, failed: int, usage: Mapping[str, Mapping[str, int]], *, own: bool
    ) -> None:
        self.done += done
        self.rejected += rejected
        self.failed += failed
        for purpose, used in usage.items():
            self.usage.setdefault(purpose, Counter()).update(used)
        if own:
            self.begun = True
            asked = sum((Counter(used) for used in usage.values()), Counter())
            self.own += Moved(done, asked["prompt_tokens"], asked["completion_tokens"])
