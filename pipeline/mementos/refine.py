"""Rounds over one memento: write, check, judge, and write again until it passes; the best round is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config import MementosConfig
from pipeline.llm.session import LlmSession
from pipeline.mementos.compress import compress, refine
from pipeline.mementos.judge import judge
from pipeline.mementos.judgement import Judgement
from pipeline.mementos.view import BlockView
from pipeline.records.checks import Finding, Severity, check_memento, passes


@dataclass(frozen=True)
class Round:
    """One pass: a memento, what the checks found, and the judges' verdict where they let it through."""

    text: str
    tokens: int
    findings: Sequence[Finding]
    verdict: Judgement | None

    @property
    def valid(self) -> bool:
        """May be published at all."""
        return self.verdict is not None

    @property
    def feedback(self) -> list[str]:
        """What the next round is told: findings of the checks first, they are certain."""
        found = [f.detail for f in self.findings if f.severity is not Severity.NOTE]
        return found + (self.verdict.missing if self.verdict else [])

    def passes(self, threshold: int) -> bool:
        """Whether no further round is needed."""
        points = self.verdict.total if self.verdict else None
        return passes(points, (finding.check for finding in self.findings), threshold)

    def as_row(self) -> dict[str, Any]:
        """The round as schemas.tables.ROUND has it."""
        return {
            "text": self.text,
            "tokens": self.tokens,
            **(self.verdict.as_row() if self.verdict else _NOT_JUDGED),
            "checks": [f.check for f in self.findings],
        }


_NOT_JUDGED: dict[str, Any] = {"score": None, "rubric": None, "missing": [], "verdict_totals": []}


async def write_memento(
    view: BlockView, config: MementosConfig, session: LlmSession, count: Callable[[Sequence[str]], list[int]]
) -> list[Round]:
    """All rounds over one block's memento, at least one, at most `config.max_rounds`.

    Raises ModelError where a round got no usable reply.
    """
    rounds: list[Round] = []
    while len(rounds) < config.max_rounds:
        number = len(rounds)
        if not rounds:
            reply = await compress(view, config, session)
        else:
            # From the best so far: a refinement may have made it worse.
            base = rounds[best_round(rounds)]
            shortfalls = base.verdict.shortfalls if base.verdict else []
            reply = await refine(view, base.text, base.feedback, shortfalls, number, config, session)
        (tokens,) = count([reply.text])
        findings = check_memento(
            reply.text, view.block, view.problem, memento_tokens=tokens, block_tokens=view.block_tokens
        )
        refused = any(f.severity is Severity.REJECT for f in findings)
        # A small model may hand its memento back as it was; what is known of it is not asked again.
        judged = next((one.verdict for one in rounds if one.text == reply.text), None)
        verdict = None if refused else judged or await judge(view, reply.text, number, config, session)
        rounds.append(Round(reply.text, tokens, findings, verdict))
        if rounds[-1].passes(config.threshold):
            break
    return rounds


def best_round(rounds: Sequence[Round]) -> int:
    """Number of the round to keep: a valid one, then most points, then fewest findings, then the first."""

    def rank(number: int) -> tuple[bool, int, int, int]:
        one = rounds[number]
        points = one.verdict.total if one.verdict else 0
        serious = sum(f.severity is not Severity.NOTE for f in one.findings)
        return one.valid, points, -serious, -number

    return max(range(len(rounds)), key=rank)
