"""One trace as a page: its blocks beside their mementos, with scores, rounds and what was found wrong."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from markupsafe import Markup

from pipeline.inspection.trace_history import Block, Story
from pipeline.records.checks import check_memento, passes
from pipeline.records.stated_numbers import unsupported_numbers
from pipeline.report.website.kv_figure import KvFigure, kv_figure
from pipeline.report.website.rendered_text import rendered
from pipeline.report.website.sentence_lines import Line, sentence_lines
from pipeline.report.website.word_diff import word_diff
from pipeline.run.effort import Effort
from schemas.replies import Verdict


@dataclass(frozen=True)
class SentenceView:
    """A sentence; score and reason of the boundary behind it, or None."""

    line: Line
    score: float | None
    reason: str | None


@dataclass(frozen=True)
class RoundView:
    """A round: its text, its points as (criterion, points, most), and what was found wrong in sentences.

    diff: the text against that of the round before, None for the first.
    """

    number: int
    kept: bool
    html: Markup
    diff: Markup | None
    score: int | None
    totals: Sequence[int]
    rubric: list[tuple[str, int, int]]
    missing: Sequence[str]
    findings: Sequence[str]


@dataclass(frozen=True)
class MementoView:
    """A kept memento with its rounds. share: of its block's tokens; sha256: of its text in UTF-8."""

    html: Markup
    tokens: int
    share: float
    score: int | None
    passed: bool
    sha256: str
    rounds: list[RoundView]


@dataclass(frozen=True)
class BlockView:
    """A block, or the whole reasoning where it is not cut (number None). flagged: worth a person's look."""

    number: int | None
    first: int
    last: int
    tokens: int
    sentences: list[SentenceView]
    memento: MementoView | None

    @property
    def flagged(self) -> bool:
        return self.memento is not None and not self.memento.passed


@dataclass(frozen=True)
class TraceView:
    """What the template of a trace's page shows."""

    story: Story
    problem: Markup
    answer: Markup
    blocks: list[BlockView]
    kv: KvFigure | None
    effort: Effort | None

    @property
    def flagged(self) -> list[int]:
        return [block.number for block in self.blocks if block.flagged and block.number is not None]


def trace_view(story: Story, *, threshold: int, effort: Effort | None) -> TraceView:
    """A trace made ready for its page. threshold: judge's points that pass; effort: None where unknown."""
    trace = story.trace or {}
    problem = trace.get("problem", "")
    return TraceView(
        story=story,
        problem=rendered(problem),
        answer=rendered(trace.get("answer", "").strip()),
        blocks=_blocks(trace.get("reasoning", ""), story.blocks, problem, threshold),
        kv=_kv(story.blocks),
        effort=effort,
    )


def _kv(blocks: Sequence[Block]) -> KvFigure | None:
    if not blocks or any(block.memento is None for block in blocks):
        return None
    return kv_figure(
        [block.tokens for block in blocks],
        [block.memento["tokens"] for block in blocks if block.memento is not None],
    )


def _blocks(reasoning: str, blocks: Sequence[Block], problem: str, threshold: int) -> list[BlockView]:
    sizes = [len(sentence.text) for block in blocks for sentence in block.sentences]
    lines = sentence_lines(reasoning, list(accumulate(sizes)))
    return [
        BlockView(
            number=block.number,
            first=block.first,
            last=block.first + len(block.sentences) - 1,
            tokens=block.tokens,
            sentences=[
                SentenceView(next(lines), sentence.score, sentence.reason) for sentence in block.sentences
            ],
            memento=None if block.memento is None else _memento(block, block.memento, problem, threshold),
        )
        for block in blocks
    ]


def _memento(block: Block, memento: Mapping[str, Any], problem: str, threshold: int) -> MementoView:
    text = "".join(sentence.text for sentence in block.sentences)
    rounds = _rounds(memento, text, block.tokens, problem)
    best = memento["best_round"]
    return MementoView(
        # The text that was kept is that of its round.
        html=rounds[best].html,
        tokens=memento["tokens"],
        share=memento["tokens"] / block.tokens if block.tokens else 0.0,
        score=memento["score"],
        passed=passes(memento["score"], memento["rounds"][best]["checks"] or [], threshold),
        sha256=hashlib.sha256(memento["text"].encode()).hexdigest(),
        rounds=rounds,
    )


def _rounds(memento: Mapping[str, Any], block: str, block_tokens: int, problem: str) -> list[RoundView]:
    views, before = [], None
    for number, one in enumerate(memento["rounds"]):
        text = one["text"]
        views.append(
            RoundView(
                number=number,
                kept=number == memento["best_round"],
                html=rendered(text, unsupported_numbers(text, block, problem)),
                diff=None if before is None else word_diff(before, text),
                score=one["score"],
                # Absent where an older version wrote the run.
                totals=one.get("verdict_totals") or [],
                rubric=[
                    (name.replace("_", " "), points, _MOST_POINTS[name])
                    for name, points in (one["rubric"] or {}).items()
                    if points is not None
                ],
                missing=one["missing"] or [],
                findings=_findings(one, block, block_tokens, problem),
            )
        )
        before = text
    return views


_MOST_POINTS = Verdict.most_points()


def _findings(one: Mapping[str, Any], block: str, block_tokens: int, problem: str) -> list[str]:
    """What the checks said of a round, in words; names alone where the checks of today say nothing."""
    names = one["checks"] or []
    if not names:
        return []
    found = check_memento(
        one["text"], block, problem, memento_tokens=one["tokens"], block_tokens=block_tokens
    )
    details = {finding.check: finding.detail for finding in found}
    return [f"{name}: {details[name]}" if name in details else name for name in names]
