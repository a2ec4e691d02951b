"""Spans that are never cut: math, code in backticks, fenced code."""

from collections import deque
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
    paragraph, `\\[` and environments in theirs or within 20,000 characters (2,000 where a paragraph
    of prose follows), `\\[` before the next `\\[`, an environment at the `\\end` of its name. A fence
    that the text never closes holds its own paragraph only.
    """

    def __init__(self, cuts: list[Cut]) -> None:
        self._cuts = cuts
        self._open: dict[str, _Opened] = {}
        self._environments: deque[tuple[str, _Opened]] = deque(maxlen=_DEEPEST_NESTING)
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
            # Only an opening fence names a language, so the one before it was never closed.
            self._keep_paragraph(opened)
        self._fence = (marks, _Opened(at, len(self._cuts)))

    def paragraph_ends(self, at: int, *, prose: bool) -> None:
        """A blank line at `at`; whether prose follows, which a long formula does not hold."""
        earliest = at - (_LONGEST_WITH_PROSE if prose else _LONGEST_DISPLAY)
        display = self._open.get(r"\[")
        # `$$` does not stay: a lost one would pair with the start of the next formula.
        self._open = {r"\[": display} if display and display.at >= earliest else {}
        while self._environments and self._environments[0][1].at < earliest:
            self._environments.popleft()

    def text_ends(self) -> None:
        if self._fence:
            self._keep_paragraph(self._fence[1])

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

    def _keep_paragraph(self, opened: _Opened) -> None:
        cuts, first = self._cuts, opened.cuts_before
        end = next((i for i in range(first, len(cuts)) if cuts[i].gap is Gap.PARAGRAPH), len(cuts))
        del cuts[first:end]


_LONGEST_DISPLAY = 20_000
_LONGEST_WITH_PROSE = 2_000
# Bounds the search for the begin of an environment, so that time stays linear.
_DEEPEST_NESTING = 20
