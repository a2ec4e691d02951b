"""Two runs on the same trace: its text once, and beside each part the mementos that both have for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from markupsafe import Markup

from pipeline.inspection.trace_history import Block, Story
from pipeline.report.website.sentence_lines import Line, sentence_lines
from pipeline.report.website.trace_page import BlockView, TraceView, trace_view
from pipeline.report.website.word_diff import word_diff


@dataclass(frozen=True)
class Piece:
    """A sentence, and the runs ("A", "B") that cut behind it."""

    line: Line
    cut_by: str


@dataclass(frozen=True)
class Part:
    """A stretch of the text at whose ends both runs cut, with the blocks of each.

    diff: B's memento against A's, where each has one and they differ; None elsewhere.
    """

    pieces: list[Piece]
    blocks: tuple[list[BlockView], list[BlockView]]
    diff: Markup | None


@dataclass(frozen=True)
class ComparedTrace:
    """A trace as two runs have it. parts: none where one of them has not cut it."""

    views: tuple[TraceView, TraceView]
    parts: list[Part]


def compared_trace(one: Story, other: Story, *, threshold: int) -> ComparedTrace:
    """Two stories of the same trace, aligned. threshold: judge's points that pass, for both."""
    views = tuple(trace_view(story, threshold=threshold, effort=None) for story in (one, other))
    return ComparedTrace((views[0], views[1]), _parts(one, other, views[0].blocks, views[1].blocks))


def _parts(one: Story, other: Story, blocks: list[BlockView], others: list[BlockView]) -> list[Part]:
    ends, other_ends = _ends(one.blocks), _ends(other.blocks)
    # The same id means the same text; what an older config cut otherwise still covers all of it.
    if not ends or not other_ends or ends[-1] != other_ends[-1]:
        return []
    parts, start = [], 0
    pieces = _pieces(one, other, ends, other_ends)
    for end in sorted(set(ends) & set(other_ends)):
        mine = [view for view, at in zip(blocks, ends, strict=True) if start < at <= end]
        its = [view for view, at in zip(others, other_ends, strict=True) if start < at <= end]
        diff = None
        if len(mine) == len(its) == 1:
            diff = _diff(one.blocks[ends.index(end)], other.blocks[other_ends.index(end)])
        parts.append(Part([piece for at, piece in pieces if start < at <= end], (mine, its), diff))
        start = end
    return parts


def _ends(blocks: Sequence[Block]) -> list[int]:
    """Where each block ends, in characters; none where the reasoning is not cut."""
    if not blocks or blocks[0].number is None:
        return []
    return list(accumulate(sum(len(sentence.text) for sentence in block.sentences) for block in blocks))


def _pieces(one: Story, other: Story, ends: list[int], other_ends: list[int]) -> list[tuple[int, Piece]]:
    """The text between all places where either run ends a sentence, each with its end in characters."""
    text = "".join(sentence.text for block in one.blocks for sentence in block.sentences)
    every = sorted({end for story in (one, other) for end in _sentence_ends(story)})
    pieces = []
    for end, line in zip(every, sentence_lines(text, every), strict=True):
        cut_by = "".join(name for name, its in (("A", ends), ("B", other_ends)) if end in its)
        pieces.append((end, Piece(line, cut_by)))
    return pieces


def _sentence_ends(story: Story) -> list[int]:
    return list(accumulate(len(sentence.text) for block in story.blocks for sentence in block.sentences))


def _diff(one: Block, other: Block) -> Markup | None:
    if one.memento is None or other.memento is None or one.memento["text"] == other.memento["text"]:
        return None
    return word_diff(one.memento["text"], other.memento["text"])
