"""Spans that are never cut: math, code in backticks, fenced code."""

from enum import IntEnum
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


class OpenSpans:
    """The spans open at one point of a scan; one that closes takes back the cuts inside it.

    What is opened and never closed is no span: `$`, `$$`, `\\(` and backticks close in their
    paragraph, `\\[` and environments in theirs or within 2,000 characters. A fence that the text
    never closes holds its own paragraph only.
    """

    def __init__(self, cuts: list[Cut]) -> None:
        self._cuts = cuts
        self._open: dict[str, _Opened] = {}
        self._environments = 0
        self._fence: tuple[str, _Opened] | None = None

    def toggle(self, mark: str, at: int) -> None:
        """A mark that opens and closes alike."""
        if not self._close(mark):
            self._start(mark, at)

    def dollar(self, at: int, *, can_open: bool, can_close: bool) -> None:
        """A single `$`; "costs $5 and $6" opens twice and closes never."""
        if not (can_close and self._close("$")) and can_open:
            self._start("$", at)

    def command(self, command: str, at: int) -> None:
        r"""One of `\(`, `\)`, `\[`, `\]`, `\begin{`, `\end{`; any other does nothing."""
        match command:
            case r"\(" | r"\[":
                self._start(command, at)
            case r"\)":
                self._close(r"\(")
            case r"\]":
                self._close(r"\[")
            case r"\begin{":
                if "environment" not in self._open:
                    self._start("environment", at)
                    self._environments = 0
                self._environments += 1
            case r"\end{":
                self._environments -= 1
                if self._environments == 0:
                    self._close("environment")

    def fence(self, marks: str, info: str, at: int) -> None:
        """A line of three or more backticks or tildes; `info` is what stands behind them."""
        self._open.clear()
        if self._fence:
            opened_with, opened = self._fence
            if marks[0] != opened_with[0] or len(marks) < len(opened_with):
                return  # a line of the code
            self._fence = None
            if not info:
                del self._cuts[opened.cuts_before :]
                return
            # Only an opening fence names a language, so the one before it was never closed.
            self._keep_paragraph(opened)
        self._fence = (marks, _Opened(at, len(self._cuts)))

    def paragraph_ends(self, at: int) -> None:
        self._open = {
            mark: opened
            for mark, opened in self._open.items()
            if mark in _MAY_HOLD_BLANK_LINES and at - opened.at <= _LONGEST_DISPLAY
        }

    def text_ends(self) -> None:
        if self._fence:
            self._keep_paragraph(self._fence[1])

    def _start(self, mark: str, at: int) -> None:
        self._open[mark] = _Opened(at, len(self._cuts))

    def _close(self, mark: str) -> bool:
        opened = self._open.pop(mark, None)
        if opened is None:
            return False
        del self._cuts[opened.cuts_before :]
        # What was opened inside the span belonged to it.
        self._open = {mark: other for mark, other in self._open.items() if other.at < opened.at}
        return True

    def _keep_paragraph(self, opened: _Opened) -> None:
        cuts, first = self._cuts, opened.cuts_before
        end = next((i for i in range(first, len(cuts)) if cuts[i].gap is Gap.PARAGRAPH), len(cuts))
        del cuts[first:end]


# `$$` is not among them: a lost one would pair with the start of the next formula.
_MAY_HOLD_BLANK_LINES = frozenset({r"\[", "environment"})
_LONGEST_DISPLAY = 2_000
