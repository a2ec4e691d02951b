"""Spans that are never cut: math, code in backticks, fenced code, docstrings."""

from collections import deque
from itertools import pairwise
from typing import NamedTuple

import regex

from pipeline.segmentation.split.lines import LIST_MARKER, begins_as_prose


class Span(NamedTuple):
    start: int
    """Of the mark that opens it, in characters."""
    end: int
    """Of the mark that closes it, or of the text where nothing does."""


def uncut_spans(text: str) -> list[Span]:
    """The spans of a text that no sentence ends in; in order, none within another.

    One scan over the marks that open or close something, so time is linear. What is opened and never
    closed is no span: `$`, `\\(` and backticks close in their paragraph, `$$` before the next paragraph
    of prose, `\\[`, docstrings and environments within 20,000 characters (2,000 where a paragraph of
    prose follows), `\\[` before the next `\\[`, an environment at the `\\end` of its name. A fence that
    is never closed holds what follows, up to the prose that ends the text or to two paragraphs of prose.
    """
    scan = _Scan(text)
    first = _FIRST_FENCE.match(text)
    if first:
        scan.read_fence(first)
    for mark in _MARK.finditer(text, first.end() if first else 0):
        scan.read(mark)
    scan.text_ends()
    return scan.spans


# A fence stands at the start of a line or behind the marker of a list item.
_FENCE = rf"(?: (?:{LIST_MARKER})?+ (?P<fence> `{{3,}}+ | ~{{3,}}+ ) (?P<info> [^`\n]*+ ) (?=\n|\Z) )"
_MARK = regex.compile(
    rf"""
    \n [^\S\n]*+ (?: (?P<blank_line> \n\s*+ ) {_FENCE}?+ | {_FENCE} )
  | (?P<symmetric> `++ | \$\$ | \"\"\" | ''' )
  | (?P<dollar> \$ )
  | \\ (?: (?P<bracket> [][()] ) | [\\$`] )
  | \\ (?: begin\{{ (?P<begin> [a-zA-Z*]*+ ) | end\{{ (?P<end> [a-zA-Z*]*+ ) )
    """,
    regex.VERBOSE,
)
_FIRST_FENCE = regex.compile(rf"\s*+ {_FENCE}", regex.VERBOSE)


class _Paragraph(NamedTuple):
    start: int
    """Of the blank line before it."""
    prose: bool


class _Fence(NamedTuple):
    marks: str
    start: int
    paragraphs: list[_Paragraph]
    """That begin behind it."""


class _Scan:
    """What is open at one point of the text. A span that closes replaces those inside it."""

    def __init__(self, text: str) -> None:
        self.spans: list[Span] = []
        self._text = text
        self._opened: dict[str, int] = {}  # where each kind of mark was last opened, by position
        self._environments: deque[tuple[str, int]] = deque(maxlen=_DEEPEST_NESTING)
        self._fence: _Fence | None = None

    def read(self, mark: regex.Match[str]) -> None:
        at = mark.start()
        match mark.lastgroup:
            case "symmetric":
                kind = mark["symmetric"][:3]
                if not self._close(kind, at):
                    self._open(kind, at)
            case "dollar":
                self._dollar(at)
            case "bracket":
                self._bracket(mark["bracket"], at)
            case "begin":
                self._environments.append((mark["begin"], at))
            case "end":
                self._end_environment(mark["end"], at)
            case "blank_line":
                self._paragraph_ends(at, mark.end("blank_line"))
            case "info":
                if mark["blank_line"]:
                    self._paragraph_ends(at, mark.end("blank_line"))
                self.read_fence(mark)

    def read_fence(self, mark: regex.Match[str]) -> None:
        at, marks = mark.start("fence"), mark["fence"]
        self._opened.clear()
        self._environments.clear()
        fence = self._fence
        if fence:
            if marks[0] != fence.marks[0] or len(marks) < len(fence.marks):
                return  # a line of the code
            self._fence = None
            if not mark["info"].strip():
                self._keep(fence.start, at)
                return
            # Only an opening fence names a language, so the one before it was never closed. The
            # paragraph that this one begins, or that announces it, is none of its code.
            if fence.paragraphs:
                fence.paragraphs[-1] = fence.paragraphs[-1]._replace(prose=True)
            self._keep_unclosed(fence, at)
        self._fence = _Fence(marks, at, [])

    def text_ends(self) -> None:
        if self._fence:
            self._keep_unclosed(self._fence, len(self._text))

    def _dollar(self, at: int) -> None:
        """A single `$`, which opens or closes by what stands around it.

        "costs $5 and $6" opens twice and closes never. One with a space within ("$ x $") closes only at
        one like it, and does not open behind a number ("5 $ and").
        """
        before, after = self._text[max(0, at - 2) : at], self._text[at + 1 : at + 2]
        spaced_before, spaced_after = before[-1:].isspace(), after.isspace()
        if not spaced_before and not after.isdigit() and self._close("$", at):
            return
        if spaced_before and self._close(_SPACED_DOLLAR, at):
            return
        if not spaced_after:
            self._open("$", at)
        elif spaced_before and not before[0].isdigit():
            self._open(_SPACED_DOLLAR, at)

    def _bracket(self, bracket: str, at: int) -> None:
        if bracket in _CLOSING:
            self._close(_CLOSING[bracket], at)
        else:
            self._open(bracket, at)

    def _end_environment(self, name: str, at: int) -> None:
        # One that was never ended is passed over.
        for begun, start in reversed(self._environments):
            if begun == name:
                self._keep(start, at)
                return

    def _paragraph_ends(self, at: int, following: int) -> None:
        """A blank line at `at`; prose `following` it shows that no formula goes on."""
        if not (self._fence or self._opened or self._environments):
            return
        prose = begins_as_prose(self._text, following)
        if self._fence:
            self._fence.paragraphs.append(_Paragraph(at, prose))
        earliest = at - (_LONGEST_WITH_PROSE if prose else _LONGEST)
        # A lost `$$` would pair with the start of the next formula.
        may_go_on = _MULTI_PARAGRAPH if prose else _MULTI_PARAGRAPH | {"$$"}
        self._opened = {
            kind: start for kind, start in self._opened.items() if kind in may_go_on and start >= earliest
        }
        while self._environments and self._environments[0][1] < earliest:
            self._environments.popleft()

    def _keep_unclosed(self, fence: _Fence, end: int) -> None:
        """Keeps what an unclosed fence holds; `end`: of the text, or of the next fence.

        A model that stops inside its code leaves the fence open, one that forgets the fence goes on in
        prose. A single paragraph of prose stands in a docstring, too.
        """
        for this, following in pairwise((*fence.paragraphs, _Paragraph(end, prose=True))):
            if (this.prose and following.prose) or this.start - fence.start > _LONGEST:
                end = this.start
                break
        beyond = [span for span in self._forget_since(fence.start) if span.end > end]
        self.spans += [Span(fence.start, end), *beyond]

    def _open(self, kind: str, at: int) -> None:
        self._opened.pop(kind, None)
        self._opened[kind] = at

    def _close(self, kind: str, at: int) -> bool:
        start = self._opened.pop(kind, None)
        if start is None:
            return False
        self._keep(start, at)
        return True

    def _keep(self, start: int, end: int) -> None:
        self._forget_since(start)
        self.spans.append(Span(start, end))
        # What was opened inside the span belonged to it.
        while self._opened and next(reversed(self._opened.values())) >= start:
            self._opened.popitem()
        while self._environments and self._environments[-1][1] >= start:
            self._environments.pop()

    def _forget_since(self, start: int) -> list[Span]:
        """Takes back the spans that begin at `start` or behind it."""
        count = len(self.spans)
        while count and self.spans[count - 1].start >= start:
            count -= 1
        later = self.spans[count:]
        del self.spans[count:]
        return later


_CLOSING = {")": "(", "]": "["}
_SPACED_DOLLAR = "$ "
# What may stay open over a blank line.
_MULTI_PARAGRAPH = frozenset({"[", '"""', "'''"})
# In characters.
_LONGEST = 20_000
_LONGEST_WITH_PROSE = 2_000
# Bounds the search for the begin of an environment, so that time stays linear.
_DEEPEST_NESTING = 20
