"""What a published trace needs: publish.min_score, publish.only_passed, publish.max_block_tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config import BuildConfig
from pipeline.records.checks import passes
from pipeline.run.outcomes import Rejected, RejectReason

# Of the section publish; the others say how a folder is written, and not what is in it.
QUALITY_KEYS = ("min_score", "only_passed", "only_sufficient", "max_block_tokens")


@dataclass(frozen=True)
class Shortfall:
    """A memento that did not pass its judge, in the round that was kept.

    block: its number, from 0. score: points of 10, None where it was not judged. rounds: how many were tried.
    missing: what the judge names; checks: names of those that found something.
    """

    block: int
    score: int | None
    rounds: int
    missing: list[str]
    checks: list[str]

    @property
    def points(self) -> str:
        """What the judge gave, in words."""
        return "not judged" if self.score is None else f"{self.score} of 10 points"

    @property
    def lacks(self) -> str:
        """What the judge and the checks say, on one line."""
        return " ".join("; ".join([*self.missing, *(f"check {name}" for name in self.checks)]).split())


@dataclass(frozen=True)
class Quality:
    """What every block and memento of a trace needs. With the values it begins with, nothing is left out.

    min_score: points of 10. threshold: points with which each has to pass, its checks clean; None: no need.
    max_block_tokens: of its block; None: any number.
    """

    min_score: int = 0
    threshold: int | None = None
    max_block_tokens: int | None = None

    def as_config(self) -> dict[str, int | None]:
        """What results depend on; empty where nothing is left out, so that no threshold makes them stale."""
        if self == ANY_QUALITY:
            return {}
        bound = {} if self.max_block_tokens is None else {"max_block_tokens": self.max_block_tokens}
        return {"min_score": self.min_score, "threshold": self.threshold} | bound

    def why_not(self, mementos: Sequence[dict[str, Any]], block_tokens: Sequence[int]) -> Rejected | None:
        """Why a trace with these mementos (schemas.tables.MEMENTO) is left out; None where it is not."""
        if self == ANY_QUALITY:
            return None
        if self.max_block_tokens is not None and (longest := max(block_tokens)) > self.max_block_tokens:
            block = list(block_tokens).index(longest)
            return Rejected(RejectReason.BLOCK_TOO_LONG, f"block {block} has {longest} tokens")
        # What nobody has judged has no points that could be enough.
        low = [fall for fall in _all(mementos) if self.min_score and (fall.score or 0) < self.min_score]
        if low:
            lowest = min(low, key=lambda fall: fall.score or 0)
            return Rejected(RejectReason.LOW_SCORE, _told(low, lowest, len(mementos)))
        if self.threshold is not None and (short := shortfalls(mementos, self.threshold)):
            return Rejected(RejectReason.NOT_PASSED, _told(short, short[0], len(mementos)))
        return None


ANY_QUALITY = Quality()


def wanted_quality(build: BuildConfig) -> Quality:
    """What a build's config asks of published mementos."""
    threshold = build.mementos.threshold if build.publish.only_passed else None
    return Quality(build.publish.min_score, threshold, build.publish.max_block_tokens)


def shortfalls(mementos: Sequence[dict[str, Any]], threshold: int) -> list[Shortfall]:
    """The mementos of a trace (schemas.tables.MEMENTO) that did not pass, in the order of their blocks."""
    return [fall for fall in _all(mementos) if not passes(fall.score, fall.checks, threshold)]


def _all(mementos: Sequence[dict[str, Any]]) -> list[Shortfall]:
    kept = [memento["rounds"][memento["best_round"]] for memento in mementos]
    return [
        Shortfall(number, memento["score"], len(memento["rounds"]), one["missing"] or [], one["checks"] or [])
        for number, (memento, one) in enumerate(zip(mementos, kept, strict=True))
    ]


def _told(short: Sequence[Shortfall], worst: Shortfall, mementos: int) -> str:
    told = f"{len(short)} of {mementos} mementos; block {worst.block}: {worst.points}"
    return f"{told}; {worst.lacks}" if worst.lacks else told
