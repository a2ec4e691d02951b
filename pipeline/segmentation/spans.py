"""Spans that are never cut: math, code in backticks, fenced code, docstrings."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from pipeline.segmentation.characters import DIGIT, SPACE, Rows, Text, is_in
from pipeline.segmentation.compiled import part


class Gap(IntEnum):
    """What lies between two pieces of text; the wider gap is the greater number."""

    SPACE = 0
    LINE = 1
    PARAGRAPH = 2


# What opens and closes a span. Tildes are of as many kinds as there are lengths of them.
INLINE, SPACED_INLINE, DISPLAY, BRACKETED, PARENTHESISED, DOCSTRING, OTHER_DOCSTRING = range(7)
BACKTICKS = 7  # and two more of them
TILDES = 10


def _record(fields: str) -> np.dtype[np.void]:
    return np.dtype((np.record, [(name, np.int64) for name in fields.split()]))


CUT = _record("end gap")
"""Where the next piece begins, in characters, and the `Gap` before it."""
_OPENED = _record("kind at cuts_before")
"""cuts_before: how many cuts there were."""
_ENVIRONMENT = _record("name name_end at cuts_before")
_PARAGRAPH = _record("at prose")
"""at: of the blank line before it; prose: whether it begins as prose does, 0 or 1."""
_STATE = _record(
    """cuts opened first_environment environments paragraphs
    fence_mark fence_length fence_at fence_cuts_before"""
)
"""How many rows there are of each kind, and the open fence: which mark it is, 0 for none, and how many."""


class Spans(NamedTuple):
    """The spans open at one point of a scan; one that closes takes back the cuts inside it.

    What is opened and never closed is no span: `$`, `\\(` and backticks close in their paragraph, `$$`
    before the next one of prose, `\\[`, docstrings and environments within 20,000 characters (2,000
    where a paragraph of prose follows), `\\[` before the next `\\[`, an environment at the `\\end` of its
    name. A fence that the text never closes holds what follows, up to the prose that ends the text or
    to two paragraphs of prose.
    """

    cuts: Rows
    opened: Rows
    """By where they opened, each kind at most once."""
    environments: Rows
    """A ring: the innermost ones, as many as it has places."""
    paragraphs: Rows
    """That begin in the open fence."""
    state: Rows
    """One row."""


@part
def no_spans(length: int) -> Spans:
    """None open, for a text of `length` characters.

    There is room for a cut at every character, which no text fills; the system gives memory for the rows
    that are written. Tildes of so many lengths do not fit in the text.
    """
    return Spans(
        np.empty(length + 1, dtype=CUT),
        np.empty(TILDES + int(np.sqrt(2.0 * length)) + 1, dtype=_OPENED),
        np.empty(_DEEPEST_NESTING, dtype=_ENVIRONMENT),
        np.empty(length // 2 + 1, dtype=_PARAGRAPH),
        np.zeros(1, dtype=_STATE),
    )


@part
def add_cut(spans: Spans, end: int, gap: int) -> None:
    now = spans.state[0]
    spans.cuts[now.cuts].end = end
    spans.cuts[now.cuts].gap = gap
    now.cuts += 1


@part
def toggle(spans: Spans, kind: int, at: int) -> None:
    """A mark that opens and closes alike."""
    if not close_span(spans, kind):
        open_span(spans, kind, at)


@part
def dollar(spans: Spans, text: Text, at: int) -> None:
    """A single `$`, by what stands around it: two characters before, one after.

    "costs $5 and $6" opens twice and closes never. One with a space within ("$ x $") closes only at
    one like it, and does not open behind a number ("5 $ and").
    """
    end = len(text)
    spaced_before = at > 0 and is_in(text, at - 1, end, SPACE)
    if not spaced_before and not is_in(text, at + 1, end, DIGIT) and close_span(spans, INLINE):
        return
    if spaced_before and close_span(spans, SPACED_INLINE):
        return
    if not is_in(text, at + 1, end, SPACE):
        open_span(spans, INLINE, at)
    elif spaced_before and not (at > 1 and is_in(text, at - 2, end, DIGIT)):
        open_span(spans, SPACED_INLINE, at)


@part
def open_span(spans: Spans, kind: int, at: int) -> None:
    """Opens a span; of its kind only the last one is open."""
    now = spans.state[0]
    place = _place(spans, kind)
    if place < now.opened:
        for later in range(place + 1, now.opened):
            spans.opened[later - 1] = spans.opened[later]
        now.opened -= 1
    row = spans.opened[now.opened]
    row.kind, row.at, row.cuts_before = kind, at, now.cuts
    now.opened += 1


@part
def close_span(spans: Spans, kind: int) -> bool:
    """Whether a span of the kind was open; it is kept whole."""
    place = _place(spans, kind)
    if place == spans.state[0].opened:
        return False
    _keep_whole(spans, spans.opened[place].at, spans.opened[place].cuts_before)
    return True


@part
def _place(spans: Spans, kind: int) -> int:
    """Of the open span of the kind; behind all spans where there is none."""
    place = 0
    while place < spans.state[0].opened and spans.opened[place].kind != kind:
        place += 1
    return place


@part
def begin_environment(spans: Spans, name: int, name_end: int, at: int) -> None:
    r"""A `\begin{name`, whose name stands from `name` to `name_end`."""
    now = spans.state[0]
    row = spans.environments[now.environments % _DEEPEST_NESTING]
    row.name, row.name_end, row.at, row.cuts_before = name, name_end, at, now.cuts
    now.environments += 1
    now.first_environment = max(now.first_environment, now.environments - _DEEPEST_NESTING)


@part
def end_environment(spans: Spans, text: Text, name: int, name_end: int) -> None:
    r"""A `\end{name`. An environment inside that was never ended is passed over."""
    now = spans.state[0]
    for place in range(now.environments - 1, now.first_environment - 1, -1):
        row = spans.environments[place % _DEEPEST_NESTING]
        if _are_equal(text, row.name, row.name_end, name, name_end):
            _keep_whole(spans, row.at, row.cuts_before)
            return


@part
def _are_equal(text: Text, start: int, end: int, other: int, other_end: int) -> bool:
    if end - start != other_end - other:
        return False
    while start < end and text[start].code == text[other].code:
        start, other = start + 1, other + 1
    return start == end


@part
def fence(spans: Spans, mark: int, length: int, names_language: bool, at: int) -> None:
    """A line of three or more backticks or tildes; whether anything stands behind them."""
    now = spans.state[0]
    now.opened = 0
    now.first_environment = now.environments
    if now.fence_mark:
        if mark != now.fence_mark or length < now.fence_length:
            return  # a line of the code
        now.fence_mark = 0
        if not names_language:
            now.cuts = now.fence_cuts_before
            return
        # Only an opening fence names a language, so the one before it was never closed. The
        # paragraph that this one begins, or that announces it, is none of its code.
        if now.paragraphs:
            spans.paragraphs[now.paragraphs - 1].prose = 1
        _keep_code(spans)
    now.fence_mark, now.fence_length = mark, length
    now.fence_at, now.fence_cuts_before = at, now.cuts
    now.paragraphs = 0


@part
def paragraph_ends(spans: Spans, at: int, prose: bool) -> None:
    """A blank line at `at`; whether prose follows, which a long formula does not hold."""
    now = spans.state[0]
    if now.fence_mark:
        row = spans.paragraphs[now.paragraphs]
        row.at, row.prose = at, int(prose)
        now.paragraphs += 1
    earliest = at - (_LONGEST_WITH_PROSE if prose else _LONGEST_DISPLAY)
    count = 0
    for place in range(now.opened):
        row = spans.opened[place]
        if _may_stay(row.kind, prose) and row.at >= earliest:
            spans.opened[count] = row
            count += 1
    now.opened = count
    while (
        now.first_environment < now.environments
        and spans.environments[now.first_environment % _DEEPEST_NESTING].at < earliest
    ):
        now.first_environment += 1


@part
def _may_stay(kind: int, prose: bool) -> bool:
    """Whether it may stay open over a blank line."""
    if kind == DISPLAY:
        return not prose  # a lost one would pair with the start of the next formula
    return kind in (BRACKETED, DOCSTRING, OTHER_DOCSTRING)


@part
def text_ends(spans: Spans) -> None:
    if spans.state[0].fence_mark:
        _keep_code(spans)


@part
def _keep_whole(spans: Spans, at: int, cuts_before: int) -> None:
    """Takes back the cuts since `at`; what was opened inside the span belonged to it."""
    now = spans.state[0]
    now.cuts = cuts_before
    while now.opened and spans.opened[now.opened - 1].at >= at:
        now.opened -= 1
    while (
        now.first_environment < now.environments
        and spans.environments[(now.environments - 1) % _DEEPEST_NESTING].at >= at
    ):
        now.environments -= 1


@part
def _keep_code(spans: Spans) -> None:
    """Keeps what an unclosed fence holds, up to the next fence at most.

    A model that stops inside its code leaves the fence open, one that forgets the fence goes on in
    prose. A single paragraph of prose stands in a docstring, too.
    """
    now = spans.state[0]
    stays = now.cuts
    for place in range(now.paragraphs):
        this = spans.paragraphs[place]
        ends_text = place + 1 == now.paragraphs
        if (
            this.prose and (ends_text or spans.paragraphs[place + 1].prose)
        ) or this.at - now.fence_at > _LONGEST_DISPLAY:
            stays = now.fence_cuts_before
            while stays < now.cuts and spans.cuts[stays].end <= this.at:
                stays += 1
            break
    count = now.fence_cuts_before
    for place in range(stays, now.cuts):
        spans.cuts[count] = spans.cuts[place]
        count += 1
    now.cuts = count


_LONGEST_DISPLAY = 20_000
_LONGEST_WITH_PROSE = 2_000
# Bounds the search for the begin of an environment, so that time stays linear.
_DEEPEST_NESTING = 20
