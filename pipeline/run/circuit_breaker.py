"""The circuit breaker: stops a run in which most traces fail, before it has used up its budget."""

from collections import Counter
from dataclasses import dataclass, field

from pipeline.run.outcomes import Failed, Outcome, Rejected, RejectReason, most_often, unlabelled
from pipeline.run.store import Manifest, RunFolder

# Fewer ended traces say too little.
FEWEST_TRACES = 20


class TooManyFailures(Exception):
    """A stage lost more traces than `max_failure_rate` allows; the message says why and what to do."""


@dataclass
class CircuitBreaker:
    """Counts the traces that end in a stage, and those of them that the model or its endpoint lost.

    most: largest tolerated share of lost traces. A memento that no round makes valid is a failure of the
    model, too, though its trace is rejected: a model that writes none costs as much as one that is silent.
    """

    most: float
    ended: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def saw(self, outcome: Outcome) -> None:
        """Counts a trace. Raises TooManyFailures."""
        if isinstance(outcome, Failed):
            self.add(1, Counter([unlabelled(outcome.error)]))
        elif isinstance(outcome, Rejected) and outcome.reason is RejectReason.NO_VALID_MEMENTO:
            self.add(1, Counter([outcome.reason.text]))
        else:
            self.add(1, Counter())

    def add(self, ended: int, errors: Counter[str]) -> None:
        """Counts traces that have ended, with the errors of those that were lost. Raises TooManyFailures."""
        self.ended += ended
        self.errors += errors
        lost = self.errors.total()
        if self.ended >= FEWEST_TRACES and lost > self.most * self.ended:
            raise TooManyFailures(
                f"stopped: {lost} of the {self.ended} traces that have ended are lost, "
                f"{most_often(self.errors)}. That is more than max_failure_rate ({self.most:.0%}) allows; "
                "replies so far are kept: fix the cause and run the same command to go on, or raise "
                "max_failure_rate (1 never stops)"
            )


def lost_traces(run: RunFolder, manifest: Manifest) -> Counter[str]:
    """The errors of a finished shard's lost traces."""
    errors: Counter[str] = Counter()
    if manifest.failed:
        failed = run.read_failed(manifest.stage, manifest.shard)
        errors.update(map(unlabelled, failed["error"].to_pylist()))
    reason = RejectReason.NO_VALID_MEMENTO
    if rejected := manifest.rejected.get(reason.value):
        errors[reason.text] = rejected
    return errors
