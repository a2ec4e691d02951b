"""Where a text may be cut: ends of sentences and of lines, outside all that is kept whole."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from pipeline.segmentation.split.abbreviations import belongs_to_word
from pipeline.segmentation.split.brackets import is_in_call
from pipeline.segmentation.split.lines import is_whole
from pipeline.segmentation.split.spans import Span

Gap = Literal["space", "line", "paragraph"]
"""What lies between two pieces of text."""


class Cut(NamedTuple):
    end: int
    """Where the next piece begins, in characters."""
    gap: Gap


def candidate_cuts(text: str, spans: Sequence[Span]) -> list[Cut]:
    """Every place where a sentence may end, in order, the last the end of the text.

    No cut lies inside a span, a table row, a line of code, an abbreviation, a number, a URL, a dotted
    name or the brackets of a call. One scan finds line ends and full stops; a line is looked over once,
    a full stop 200 characters around it, so time is linear.
    """
    cuts: list[Cut] = []
    line_start = judged_line = len(text) - len(text.lstrip())
    line_is_whole = is_whole(text, line_start)
    ahead = iter(spans)
    span_start, span_end = next(ahead, _NO_SPAN)
    for found in _END.finditer(text, line_start):
        at, end = found.span()
        while span_end < end:
            span_start, span_end = next(ahead, _NO_SPAN)
        if text[at] == "\n":
            line_start = end
            if span_start >= end:
                cuts.append(Cut(end, "paragraph" if "\n" in text[at + 1 : end] else "line"))
        elif span_start >= end:
            if judged_line != line_start:
                judged_line, line_is_whole = line_start, is_whole(text, line_start)
            if not (
                line_is_whole
                or (text[at] == "." and belongs_to_word(text, line_start, at, end))
                or is_in_call(text, line_start, at)
            ):
                cuts.append(Cut(end, "space"))
    if cuts and cuts[-1].end == len(text):
        cuts.pop()
    return [*cuts, Cut(len(text), "paragraph")]


# Behind all text.
_NO_SPAN = Span(2**63, 2**63)

# A full stop ends a sentence only before white space, which spares numbers, URLs and method calls
# (before a tab it ends the cell of a table), and what follows must be able to begin one: no small
# letter, no operator and no other factorial, as after the first of "7! / (3! 4!)".
_END = re.compile(
    r"""
    \n\s*+
  | [.!?…] ["'”’»)\]}*_]*+ [^\S\n\t]++
    (?! [\sa-z/=+×÷^<>,;:)\]}&|−] | \*[^*] | -\s | \.\. | (?<=!\ )\(?(?:\d+|[A-Za-z]\d?)! | \Z )
  | [。！？] ["'”’」』）)\]*_]*+ [^\S\n]*+ (?=\S)
    """,
    re.VERBOSE,
)
