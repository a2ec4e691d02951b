"""What a run is doing, in numbers: the file RUN/status.json, written every second while it works."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from pipeline.run.store import RunFolder

State = Literal["working", "done", "stopped", "failed"]


@dataclass(frozen=True)
class StageStatus:
    """A stage over all shards.

    done: traces that have left it, rejected and failed ones included, of the `expected` that come to it as
    far as is known; those of earlier runs count. begun: this run has worked on it. at_work: traces that have
    come to it have not left it yet. rate: traces per second; eta_seconds: None where it cannot be told.
    running: requests that are with an endpoint now. …_per_second: tokens, in the last minute. Requests and
    tokens are those of the passes that made what lies in the folder; prompt_tokens counts cached_tokens too.
    cached_share: of the prompt tokens, None where there are none.
    """

    name: str
    verb: str
    done: int
    expected: int
    rejected: int
    failed: int
    begun: bool
    at_work: bool
    rate: float
    eta_seconds: float | None
    running: int
    prompt_tokens_per_second: float
    completion_tokens_per_second: float
    cached_share: float | None
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int

    @property
    def is_complete(self) -> bool:
        """Whether every trace that comes to it has left it."""
        return self.done >= self.expected and not self.at_work


@dataclass(frozen=True)
class Status:
    """A run at one moment; stages: in their order, none before the traces have been read.

    name: that of the build. state: "working" also of a run that was killed, whose `at` then grows old.
    step: what the run says it is doing; error: why it failed, in a line, else empty. started_at, at: UTC, ISO
    8601. cost: of all tokens so far, those that earlier runs paid for included; None without a price.
    """

    name: str
    state: State
    step: str
    error: str
    started_at: str
    at: str
    cost: float | None
    stages: tuple[StageStatus, ...]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "stages": [asdict(stage) for stage in self.stages]}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Self:
        """The status that `as_json` gave. Raises KeyError, TypeError where it is that of another version."""
        stages = tuple(StageStatus(**_known(StageStatus, stage)) for stage in told["stages"])
        return cls(**{**_known(cls, told), "stages": stages})


def read_status(run: RunFolder) -> Status | None:
    """The status that a run has written last; None where there is none that can be read."""
    try:
        return Status.from_json(json.loads(run.status_file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _known(kind: Any, told: dict[str, Any]) -> dict[str, Any]:
    """The entries that this version knows. Raises KeyError where one is missing."""
    return {each.name: told[each.name] for each in fields(kind)}
