"""Where a text may be cut: ends of sentences and of lines, outside all that is kept whole."""

import re
from typing import NamedTuple

from pipeline.segmentation.abbreviations import belongs_to_word
from pipeline.segmentation.spans import Cut, Gap, OpenSpans


def candidate_cuts(text: str) -> list[Cut]:
    """Every place where a sentence may end, in order; neither the start nor the end of the text.

    No cut lies inside code (fenced, indented, in backticks), math, a table row, an abbreviation, a
    number, a URL or a dotted name. One scan finds the marks and the ends; no text is read twice, so
    time is linear.
    """
    cuts: list[Cut] = []
    spans = OpenSpans(cuts)
    start = len(text) - len(text.lstrip())
    line = _line(text, start, text[:start])
    for found in _MARK.finditer(text, start):
        at, end = found.span()
        mark = text[at]
        if mark == "\n":
            gap = Gap.PARAGRAPH if "\n" in text[at + 1 : end] else Gap.LINE
            if gap is Gap.PARAGRAPH:
                spans.paragraph_ends(at, prose=PROSE.match(text, end) is not None)
            cuts.append(Cut(end, gap))
            line = _line(text, end, text[at:end])
        elif mark in _ENDS:
            if not line.whole and not (mark == "." and belongs_to_word(text, line.start, at, end)):
                cuts.append(Cut(end, Gap.SPACE))
        elif at == line.fence and (fence := _FENCE.match(text, at)):
            spans.fence(fence[1], fence[2].strip(), at)
        elif mark == "`":
            spans.toggle(found[0][:3], at)
        elif found[0] == "$":
            spans.dollar(
                at,
                can_open=not text[end : end + 1].isspace(),
                can_close=not text[at - 1].isspace() and not text[end : end + 1].isdigit(),
            )
        elif mark == "$":
            spans.toggle("$$", at)
        elif mark == "\\":
            spans.command(found[0], at)
    spans.text_ends()
    if cuts and cuts[-1].end == len(text):
        cuts.pop()
    return cuts


_ENDS = frozenset(".!?…。！？")

# The first item is a set of characters, so that the engine skips the text between marks at the
# speed of memory. A full stop ends a sentence only before white space, which spares numbers, URLs
# and method calls, and what follows must be able to begin one: no small letter, no operator, as
# after the first factorial of "7! / 3!".
_MARK = re.compile(
    r"""[\n.!?…。！？`~$\\]
    (?: (?<=\n) \s*+
      | (?<=[.!?…]) ["'”’»)\]}*_]*+ [^\S\n]++ (?![\sa-z/=+×÷^<>,;:)\]}&|−] | \*[^*] | -\s | \Z)
      | (?<=[。！？]) ["'”’」』）)\]*_]*+ [^\S\n]*+ (?=\S)
      | (?<=`) `*+
      | (?<=~) ~~++
      | (?<=\$) \$?+
      | (?<=\\) (?: [][()\\$`] | (?:begin|end)\{ [a-zA-Z*]*+ )
    )""",
    re.VERBOSE,
)
_FENCE = re.compile(r"(`{3,}+|~{3,}+)([^`\n]*+)(?=\n|\Z)")


class _Line(NamedTuple):
    start: int
    fence: int
    """Where a fence would stand: at the start, or behind the marker of a list item."""
    whole: bool
    """A table row or a line of code: full stops in it end nothing."""


def _line(text: str, start: int, white_space: str) -> _Line:
    marker = LIST_MARKER.match(text, start)
    indent = white_space.rpartition("\n")[2]
    end = text.find("\n", start)
    line = text[start : end if end >= 0 else len(text)].rstrip()
    whole = line.startswith(("|", "# ")) or is_code(line)
    if not whole and not marker and not PROSE.match(line):
        columns = len(indent.expandtabs(4))
        whole = columns >= 4 or (columns >= 2 and not line.endswith(_SENTENCE_ENDS))
    return _Line(start, marker.end() if marker else start, whole)


def is_code(line: str) -> bool:
    """Whether the line is a comment or ends as a statement does; white space around it left out."""
    if line.startswith(("//", "/*")) or line.endswith("{"):
        return True
    return line.endswith(("}", ";")) and "\\" not in line and not _WORDS.match(line)


_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")
_WORDS = re.compile(r"[A-Za-z'’]+,?(?: [a-z'’]+,?){2}")
LIST_MARKER = re.compile(r"(?:[-*+•–]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.):])[ \t]+(?=\S)")
PROSE = re.compile(r"[A-Z][\w'’]*,?(?:[ ][a-z'’]+){2}")
