"""Where a text may be cut: ends of sentences and of lines, outside all that is kept whole."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import regex

from pipeline.segmentation.split.abbreviations import abbreviates, begins_sentence, belongs_to_word
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

    text: its line ends are "\\n" or "\\r\\n". No cut lies inside a span, a table row, a line of code, an
    abbreviation, a number, a URL, a dotted name or the brackets of a call. One scan finds line ends and
    stops; a line is looked over once, a stop 200 characters around it, so time is linear.
    """
    cuts: list[Cut] = []
    line_start = judged_line = len(text) - len(text.lstrip())
    line_is_whole = is_whole(text, line_start)
    asked_line, small_letters = -1, False
    ahead = iter(spans)
    span_start, span_end = next(ahead, _NO_SPAN)
    ends = _END if text.isascii() or not _CLAUSES.search(text) else _END_OR_SPACE
    for found in ends.finditer(text, line_start):
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
            follows = found.lastgroup
            if follows == "small" and asked_line != line_start:
                asked_line, small_letters = line_start, _is_of_small_letters(text, line_start)
            if not (
                line_is_whole
                or (text[at] in ".．" and belongs_to_word(text, line_start, at, end))
                or (follows == "small" and not (small_letters and _ends_words(text, line_start, at)))
                or (follows == "glued" and not begins_sentence(text, end))
                or is_in_call(text, line_start, at)
            ):
                cuts.append(Cut(end, "space"))
    if cuts and cuts[-1].end == len(text):
        cuts.pop()
    return [*cuts, Cut(len(text), "paragraph")]


# Behind all text.
_NO_SPAN = Span(2**63, 2**63)


def _is_of_small_letters(text: str, line_start: int) -> bool:
    """Whether more of the line's sentences begin with small letters than with capitals, and two at least.

    One alone may stand behind an abbreviation or in a quotation.
    """
    line_end = text.find("\n", line_start)
    stops = _STOP_IN_WORDS.findall(text, line_start, line_end if line_end >= 0 else len(text))
    small = sum(map(bool, stops))
    return small >= 2 and 2 * small > len(stops)


def _ends_words(text: str, line_start: int, stop: int) -> bool:
    """Whether a word that is no abbreviation ends at the stop; at a full stop also a number or a bracket."""
    before = text[max(line_start, stop - 2) : stop]
    if before.isalpha():
        return text[stop] != "…" and not abbreviates(text, line_start, stop)
    return text[stop] == "." and (before[-1:].isdigit() or before[-1:] in tuple(")]}$`"))


# Small letters of alphabets that begin sentences with capitals. Greek ones are mostly variables.
_SMALL = r"[\p{Ll}&&[\p{Latin}\p{Cyrillic}\p{Armenian}]]"
# Stops of other scripts than the Latin one.
_OTHER_STOP = r"[\p{STerm}--[.!?]]"
# What may stand between a stop and white space: quotation marks, brackets, emphasis; numbers of footnotes
# and sources; emoji.
_CLOSING = r"""
    (?: ["'”’»)\]}*_」』）] | \[\^?\d{1,3}(?:[,–-]\ ?\d{1,3})*+\] | 【[^】\n]{1,40}】 | [⁰¹²³⁴-⁹]
      | (?=[^\x00-\xff])[\p{Extended_Pictographic}--\p{STerm}][\ufe0f\u200d\p{EMod}]*+ )*+"""
# A Latin stop ends a sentence only before white space, which spares numbers, URLs and method calls
# (before a tab it ends the cell of a table), and what follows must be able to begin one: no operator
# and no other factorial, as after the first of "7! / (3! 4!)". A small letter begins one only in a
# line of such sentences, a capital without white space before it only as a word that does so ("twelve.Then").
# Stops of other scripts need no white space, nor do Latin ones between letters that have no case, as Chinese
# ones. (What stands before a stop is looked at behind it: in front it would be at every character.)
_ENDS = rf"""
    \n\s*+
  | [.!?…] {_CLOSING} [^\S\n\t]++
    (?! [\s/=+×÷^<>,;:)\]}}&|−] | \*[^*] | -\s | \.\. | (?<=!\ )\(?(?:\d+|[A-Za-z]\d?)! | \Z )
    (?P<small> (?={_SMALL}) )?
  | {_OTHER_STOP} (?<! {_OTHER_STOP}{{2}} | \d．(?=\d) ) {_OTHER_STOP}*+ {_CLOSING} [^\S\n]*+ (?=\S)
  | [.!?] (?: (?<=\p{{Lo}}.)(?=\p{{Lo}}) | (?<=\p{{Ll}}{{2}}.|[)\]}}$].) (?P<glued> (?=\p{{Lu}}) ) )
    """
_END = regex.compile(_ENDS, regex.VERBOSE | regex.V1)
# Thai and Lao have no stops: a space ends a clause.
_CLAUSES = re.compile(r"[\u0e00-\u0eff]")
_END_OR_SPACE = regex.compile(
    rf"{_ENDS} | (?<=[\p{{Thai}}\p{{Lao}}]) \ ++ (?=[\p{{Thai}}\p{{Lao}}])", regex.VERBOSE | regex.V1
)
# Stops behind a word of two letters or more: the group holds the small letter that follows, if it is one.
_STOP_IN_WORDS = regex.compile(
    rf"(?<=\p{{L}}{{2}}) [.!?] {_CLOSING} [^\S\n\t]++ (?: ({_SMALL}) | (?!I\b)\p{{Lu}} )",
    regex.VERBOSE | regex.V1,
)
