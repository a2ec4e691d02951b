"""What a person says of one memento."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

LONGEST_WHY = 500


class Opinion(StrEnum):
    """Whether a memento does what it is for."""

    GOOD = "good"
    BAD = "bad"


class Key(NamedTuple):
    """What a verdict is about: a block's memento as it was worded. SHA-256 of its text in UTF-8."""

    trace_id: str
    block: int
    memento_sha256: str


@dataclass(frozen=True)
class Verdict:
    """A person's verdict, with the judge's as it was then. The columns are those of schemas.tables.VERDICTS.

    score: points of 10, None where the memento was not judged; passed: whether its judge and checks were
    content. Raises ValueError where `why` has more than LONGEST_WHY characters.
    """

    trace_id: str
    block: int
    memento_sha256: str
    verdict: Opinion
    why: str
    score: int | None
    passed: bool
    at: datetime

    def __post_init__(self) -> None:
        if len(self.why) > LONGEST_WHY:
            raise ValueError(f"why: {len(self.why):,} characters, and at most {LONGEST_WHY} are kept")

    @property
    def key(self) -> Key:
        return Key(self.trace_id, self.block, self.memento_sha256)
