"""Where a text may be cut: ends of sentences and of lines, outside all that is kept whole."""

import re

from pipeline.segmentation.abbreviations import belongs_to_word
from pipeline.segmentation.spans import Cut, Gap, OpenSpans


def candidate_cuts(text: str) -> list[Cut]:
    """Every place where a sentence may end, in order; neither the start nor the end of the text.

    No cut lies inside code (fenced, indented, in backticks), a docstring, math, a table row, an
    abbreviation, a number, a URL, a dotted name or the brackets of a call. One scan finds the marks
    and the ends; no text is read twice, so time is linear.
    """
    cuts: list[Cut] = []
    spans = OpenSpans(cuts)
    marks = _MARK_OR_QUOTES if '"""' in text or "'''" in text else _MARK
    start = len(text) - len(text.lstrip())
    line_start, fence_start, whole = _line(text, start, text[:start], PROSE.match(text, start) is not None)
    for found in marks.finditer(text, start):
        at, end = found.span()
        mark = text[at]
        if mark == "\n":
            gap = Gap.PARAGRAPH if "\n" in text[at + 1 : end] else Gap.LINE
            prose = PROSE.match(text, end) is not None
            if gap is Gap.PARAGRAPH:
                spans.paragraph_ends(at, prose=prose)
            cuts.append(Cut(end, gap))
            line_start, fence_start, whole = _line(text, end, text[at:end], prose)
        elif mark in _ENDS:
            if not (
                whole
                or (mark == "." and belongs_to_word(text, line_start, at, end))
                or _in_call(text, line_start, at)
            ):
                cuts.append(Cut(end, Gap.SPACE))
        elif at == fence_start and (fence := _FENCE.match(text, at)):
            spans.fence(fence[1], fence[2].strip(), at)
        elif mark == "`":
            spans.toggle(found[0][:3], at)
        elif found[0] == "$":
            spans.dollar(at, text[max(0, at - 2) : at], text[end : end + 1])
        elif mark == "$":
            spans.toggle("$$", at)
        elif mark == "\\":
            spans.command(found[0], at)
        else:
            spans.toggle(found[0], at)
    spans.text_ends()
    if cuts and cuts[-1].end == len(text):
        cuts.pop()
    return cuts


_ENDS = frozenset(".!?…。！？")

# The first item is a set of characters, so that the engine skips the text between marks at the
# speed of memory. A full stop ends a sentence only before white space, which spares numbers, URLs
# and method calls (before a tab it ends the cell of a table), and what follows must be able to begin
# one: no small letter, no operator and no other factorial, as after the first of "7! / (3! 4!)".
_AFTER_MARK = r"""
    (?: (?<=\n) \s*+
      | (?<=[.!?…]) ["'”’»)\]}*_]*+ [^\S\n\t]++
        (?![\sa-z/=+×÷^<>,;:)\]}&|−] | \*[^*] | -\s | \.\. | (?<=!\ )\(?(?:\d+|[A-Za-z]\d?)! | \Z)
      | (?<=[。！？]) ["'”’」』）)\]*_]*+ [^\S\n]*+ (?=\S)
      | (?<=`) `*+
      | (?<=~) ~~++
      | (?<=\$) \$?+
      | (?<=\\) (?: [][()\\$`] | (?:begin|end)\{ [a-zA-Z*]*+ )
      | (?<=") ""
      | (?<=') ''
    )"""
_MARK = re.compile(r"[\n.!?…。！？`~$\\]" + _AFTER_MARK, re.VERBOSE)
# Quotes are many and docstrings few, so only a text that has one is searched for them.
_MARK_OR_QUOTES = re.compile(r"[\n.!?…。！？`~$\\\"']" + _AFTER_MARK, re.VERBOSE)
_FENCE = re.compile(r"(`{3,}+|~{3,}+)([^`\n]*+)(?=\n|\Z)")


def _line(text: str, start: int, white_space: str, prose: bool) -> tuple[int, int, bool]:
    """Where the line starts, where a fence would stand in it, and whether full stops in it end nothing.

    A fence stands at the start or behind the marker of a list item. A table row or a line of code is
    whole. white_space: before the line; prose: whether it begins as prose does.
    """
    if prose:
        return start, start, False
    marker = LIST_MARKER.match(text, start)
    end = text.find("\n", start)
    line = text[start : end if end >= 0 else len(text)].rstrip()
    whole = line.startswith(("|", "# ")) or is_code(line) or is_row(line)
    if marker:
        return start, marker.end(), whole
    if not whole:
        indent = white_space.rpartition("\n")[2]
        columns = len(indent.expandtabs(4)) if indent else 0
        whole = columns >= 4 or (columns >= 2 and not line.endswith(_SENTENCE_ENDS))
    return start, start, whole


def is_code(line: str) -> bool:
    """Whether the line is a comment, a tag, or ends as a statement does; white space around it left out."""
    if line.startswith(("//", "/*", "{%")) or line.endswith("{"):
        return True
    if line.endswith(">") and _TAG.match(line):
        return True
    return line.endswith(("}", ";")) and "\\" not in line and not _WORDS.match(line)


def is_row(line: str) -> bool:
    """Whether the line has three cells, as a row of a table whose lines begin without a bar."""
    return len(line) <= _LONGEST_ROW and line.count(" | ") >= 2


def _in_call(text: str, line_start: int, at: int) -> bool:
    """Whether a bracket that hangs on a word, as that of a call, is open at `at` and closed behind it.

    Looked for on the line, and not far: a line may be as long as the text, and time is to be linear.
    """
    first = max(line_start, at - _LONGEST_CALL)
    before = text[first:at]
    if "(" not in before and "[" not in before and "{" not in before:
        return False
    opened: list[int] = []
    for found in _BRACKET.finditer(before):
        if found[0] in "([{":
            opened.append(found.start())
        elif opened:
            opened.pop()
    if not opened:
        return False
    after, _, _ = text[at : at + _LONGEST_CALL].partition("\n")
    deeper = 0
    for found in _BRACKET.finditer(after):
        if found[0] in "([{":
            deeper += 1
        elif deeper:
            deeper -= 1
        elif opened and _CALLED.match(before, max(0, opened.pop() - 1)):
            return True
    return False


# Longer lines speak of "3 | n" and "P(A | B)".
_LONGEST_ROW = 200
# Characters to either side.
_LONGEST_CALL = 200
_BRACKET = re.compile(r"[][(){}]")
_CALLED = re.compile(r"[\w\]][(\[{]")
_TAG = re.compile(r"</?[A-Za-z!]")
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")
_WORDS = re.compile(r"[A-Za-z'’]+,?(?: [a-z'’]+,?){2}")
LIST_MARKER = re.compile(r"(?:[-*+•–]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.):])[ \t]+(?=\S)")
PROSE = re.compile(r"[A-Z][\w'’]*,?(?:[ ][a-z'’]+){2}")
