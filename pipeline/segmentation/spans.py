"""Spans that are never cut: math, code in backticks, fenced code, docstrings."""

from bisect import bisect_right
from collections import deque
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple


class Gap(IntEnum):
    """What lies between two pieces of text; the wider gap is the greater number."""

    SPACE = 0
    LINE = 1
    PARAGRAPH = 2


class Cut(NamedTuple):
    end: int
    """Where the next piece begins, in characters."""
    gap: Gap


class _Opened(NamedTuple):
    at: int
    cuts_before: int


class _Paragraph(NamedTuple):
    at: int
    """Of the blank line before it."""
    prose: bool


_TEXT_END = _Paragraph(0, prose=True)


class OpenSpans:
    """The spans open at one point of a scan; one that closes takes back the cuts inside it.

    What is opened and never closed is no span: `$`, `\\(` and backticks close in their paragraph, `$$`
    before the next one of prose, `\\[`, docstrings and environments within 20,000 characters (2,000
    where a paragraph of prose follows), `\\[` before the next `\\[`, an environment at the `\\end` of its
    name. A fence that the text never closes holds what follows, up to the prose that ends the text or
    to two paragraphs of prose.
    """

    def __init__(self, cuts: list[Cut]) -> None:
        self._cuts = cuts
        self._open: dict[str, _Opened] = {}
        self._environments: deque[tuple[str, _Opened]] = deque(maxlen=_DEEPEST_NESTING)
        self._fence: tuple[str, _Opened] | None = None
        self._paragraphs: list[_Paragraph] = []  # that begin in the open fence

    def toggle(self, mark: str, at: int) -> None:
        """A mark that opens and closes alike."""
        if not self._close(mark):
            self._start(mark, at)

    def dollar(self, at: int, before: str, after: str) -> None:
        """A single `$` and what stands around it: two characters before, one after.

        "costs $5 and $6" opens twice and closes never. One with a space within ("$ x $") closes only at
        one like it, and does not open behind a number ("5 $ and").
        """
        spaced_before, spaced_after = before[-1:].isspace(), after.isspace()
        if not spaced_before and not after.isdigit() and self._close("$"):
            return
        if spaced_before and self._close(_SPACED_DOLLAR):
            return
        if not spaced_after:
            self._start("$", at)
        elif spaced_before and not before[0].isdigit():
            self._start(_SPACED_DOLLAR, at)

    def command(self, command: str, at: int) -> None:
        r"""One of `\(`, `\)`, `\[`, `\]`, `\begin{name`, `\end{name`; any other does nothing."""
        command, _, name = command.partition("{")
        match command:
            case r"\(" | r"\[":
                self._start(command, at)
            case r"\)":
                self._close(r"\(")
            case r"\]":
                self._close(r"\[")
            case r"\begin":
                self._environments.append((name, _Opened(at, len(self._cuts))))
            case r"\end":
                self._end(name)

    def fence(self, marks: str, info: str, at: int) -> None:
        """A line of three or more backticks or tildes; `info` is what stands behind them."""
        self._open.clear()
        self._environments.clear()
        if self._fence:
            opened_with, opened = self._fence
            if marks[0] != opened_with[0] or len(marks) < len(opened_with):
                return  # a line of the code
            self._fence = None
            if not info:
                del self._cuts[opened.cuts_before :]
                return
            # Only an opening fence names a language, so the one before it was never closed. The
            # paragraph that this one begins, or that announces it, is none of its code.
            if self._paragraphs:
                self._paragraphs[-1] = self._paragraphs[-1]._replace(prose=True)
            self._keep_code(opened)
        self._fence = (marks, _Opened(at, len(self._cuts)))
        self._paragraphs.clear()

    def paragraph_ends(self, at: int, *, prose: bool) -> None:
        """A blank line at `at`; whether prose follows, which a long formula does not hold."""
        if self._fence:
            self._paragraphs.append(_Paragraph(at, prose))
        earliest = at - (_LONGEST_WITH_PROSE if prose else _LONGEST_DISPLAY)
        # A lost `$$` would pair with the start of the next formula.
        stay = _STAY if prose else (*_STAY, "$$")
        self._open = {
            mark: opened for mark, opened in self._open.items() if mark in stay and opened.at >= earliest
        }
        while self._environments and self._environments[0][1].at < earliest:
            self._environments.popleft()

    def text_ends(self) -> None:
        if self._fence:
            self._keep_code(self._fence[1])

    def _start(self, mark: str, at: int) -> None:
        self._open[mark] = _Opened(at, len(self._cuts))

    def _close(self, mark: str) -> bool:
        opened = self._open.pop(mark, None)
        if opened is None:
            return False
        self._keep_whole(opened)
        return True

    def _end(self, name: str) -> None:
        # One that was never ended is passed over.
        for began, opened in reversed(self._environments):
            if began == name:
                self._keep_whole(opened)
                return

    def _keep_whole(self, opened: _Opened) -> None:
        del self._cuts[opened.cuts_before :]
        # What was opened inside the span belonged to it.
        self._open = {mark: other for mark, other in self._open.items() if other.at < opened.at}
        while self._environments and self._environments[-1][1].at >= opened.at:
            self._environments.pop()

    def _keep_code(self, opened: _Opened) -> None:
        """Keeps what an unclosed fence holds, up to the next fence at most.

        A model that stops inside its code leaves the fence open, one that forgets the fence goes on in
        prose. A single paragraph of prose stands in a docstring, too.
        """
        for this, following in pairwise((*self._paragraphs, _TEXT_END)):
            if (this.prose and following.prose) or this.at - opened.at > _LONGEST_DISPLAY:
                stays = bisect_right(self._cuts, this.at, key=lambda cut: cut.end)
                del self._cuts[opened.cuts_before : stays]
                return
        del self._cuts[opened.cuts_before :]


# Marks that may stay open over a blank line.
_STAY = (r"\[", '"""', "'''")
_SPACED_DOLLAR = "$ "
_LONGEST_DISPLAY = 20_000
_LONGEST_WITH_PROSE = 2_000
# Bounds the search for the begin of an environment, so that time stays linear.
_DEEPEST_NESTING = 20
