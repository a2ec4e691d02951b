"""How far the judge and a person agree: what passed against what the person finds good."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.run.store import RunFolder
from pipeline.verdicts.mementos import mementos_of, points_that_pass
from pipeline.verdicts.verdict import Key, Opinion, Verdict


@dataclass(frozen=True)
class Agreement:
    """Counts of verdicts by what judge and checks said (passed or short of it) and what the person says.

    outdated: verdicts about a text that the run no longer has, which count nowhere else.
    """

    passed_good: int = 0
    passed_bad: int = 0
    short_good: int = 0
    short_bad: int = 0
    outdated: int = 0

    @property
    def counted(self) -> int:
        return self.passed_good + self.passed_bad + self.short_good + self.short_bad

    @property
    def share(self) -> float | None:
        """Part of the verdicts in which both say the same, 0 to 1; None where there is none."""
        return (self.passed_good + self.short_bad) / self.counted if self.counted else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: 1 is full agreement, 0 what chance gives with these shares, below 0 worse.

        None where chance alone gives full agreement: nothing is counted, or both only ever said one thing.
        """
        # In whole numbers, each share times its n, so that "undefined" is no matter of rounding.
        square = self.counted**2
        passed, good = self.passed_good + self.passed_bad, self.passed_good + self.short_good
        by_chance = passed * good + (self.counted - passed) * (self.counted - good)
        if by_chance == square:
            return None
        return (self.counted * (self.passed_good + self.short_bad) - by_chance) / (square - by_chance)

    def as_json(self) -> dict[str, Any]:
        """Counts, share and kappa for a program."""
        return {**asdict(self), "counted": self.counted, "share": self.share, "kappa": self.kappa}


def agreement(verdicts: Iterable[Verdict], current: Mapping[Key, bool]) -> Agreement:
    """The counts. current: whether each memento passes that the run has now, of the traces judged.

    What the judge said when a verdict was given does not count: a threshold may have changed since.
    """
    counts: Counter[str] = Counter()
    for one in verdicts:
        if one.key not in current:
            counts["outdated"] += 1
            continue
        judge = "passed" if current[one.key] else "short"
        counts[f"{judge}_good" if one.verdict is Opinion.GOOD else f"{judge}_bad"] += 1
    return Agreement(**counts)


def agreement_of(run: RunFolder, verdicts: Sequence[Verdict]) -> Agreement:
    """The counts of a run's verdicts. Raises DamageError, and ConfigError where the run has no config."""
    if not verdicts:
        return Agreement()
    threshold = points_that_pass(run)
    mementos = mementos_of(run, {one.trace_id for one in verdicts})
    return agreement(verdicts, {one.key: one.passes(threshold) for one in mementos})
