"""Which candidate cuts fall because the pieces on their two sides belong together."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation.characters import SPACE, TRAILING, UNFINISHED, WORD, Rows, Text, is_in, run
from pipeline.segmentation.compiled import part
from pipeline.segmentation.equations import is_equation
from pipeline.segmentation.lines import is_code, is_comment, is_row
from pipeline.segmentation.openings import Opening, opening
from pipeline.segmentation.spans import Gap


@part
def merge(text: Text, cuts: Rows) -> NDArray[np.int64]:
    """Ends of the sentences in characters, the last one the end of the text.

    Never parted: an introduction and its colon's object, a heading and what follows, rows of a
    table, lines of code, a line and the relation (`= …`) that continues it, a fragment and
    the next piece. Kept together up to about 150 words: items of one list, equations of one
    derivation, a displayed formula and the text before it, and continuations.
    """
    ends = np.empty(len(cuts), dtype=np.int64)
    count = group_start = 0
    left = _piece(text, 0, cuts[0].end, Gap.PARAGRAPH.value, cuts[0].gap, False)
    for place in range(1, len(cuts)):
        right = _piece(text, left.end, cuts[place].end, left.gap_after, cuts[place].gap, left.in_list)
        fragment = _is_fragment(text, group_start, left.end)
        # A long list is rather cut between two items than within one.
        longest = _LONGEST_LIST if right.opening == Opening.ITEM else _LONGEST
        short = right.end - group_start <= longest
        if not (fragment or _inseparable(left, right) or (short and _related(left, right))):
            ends[count] = group_start = left.end
            count += 1
        left = right
    if count and _is_fragment(text, group_start, left.end):
        count -= 1
    ends[count] = left.end
    return ends[: count + 1]


@part
def _is_fragment(text: Text, start: int, end: int) -> bool:
    """Whether a piece has fewer than about five tokens."""
    length = end - start
    if length >= 2 * _FRAGMENT:
        return False
    if length < _FRAGMENT:
        return True
    words_and_signs, at = 0, start
    while at < end:
        word_end = run(text, at, end, WORD)
        if word_end > at or not is_in(text, at, end, SPACE):
            words_and_signs += 1
        at = max(at + 1, word_end)
    return words_and_signs < _FEWEST_TOKENS


# Characters: about 150 words, a fifth of a block, so that the partition keeps its freedom.
_LONGEST = 900
_LONGEST_LIST = 600
# Characters: about five tokens; those of long words may be twice as many.
_FRAGMENT = 20
_FEWEST_TOKENS = 5


class _Piece(NamedTuple):
    end: int
    length: int
    gap_before: int
    gap_after: int
    opening: Opening
    ends_sentence: bool
    """Its last character, white space and emphasis left out, is a full stop or the like, or there is none."""
    announces: bool
    """The last character is a colon."""
    unfinished: bool
    """The last character is one that asks for the next piece."""
    equation: bool
    indented: bool
    in_list: bool
    code: bool
    comment: bool


@part
def _piece(text: Text, start: int, end: int, gap_before: int, gap_after: int, in_list: bool) -> _Piece:
    content_end = end
    while content_end > start and is_in(text, content_end - 1, end, TRAILING):
        content_end -= 1
    opens = opening(text, start, end)
    begins_line = gap_before != Gap.SPACE
    if (
        begins_line
        and (opens == Opening.OTHER or opens == Opening.SMALL)
        and is_row(text, start, content_end)
    ):
        opens = Opening.ROW
    indented = begins_line and _is_indented(text, start)
    empty = content_end == start
    last = _NOTHING if empty else int(text[content_end - 1].code)
    return _Piece(
        end,
        end - start,
        gap_before,
        gap_after,
        opens,
        last in (_NOTHING, _FULL_STOP, _EXCLAMATION, _QUESTION),
        last == _COLON,
        not empty and is_in(text, content_end - 1, content_end, UNFINISHED),
        is_equation(text, start, content_end),
        indented,
        opens == Opening.ITEM or (in_list and (indented or not begins_line)),
        begins_line and opens != Opening.PROSE and is_code(text, start, content_end),
        begins_line and is_comment(text, start, content_end),
    )


@part
def _is_indented(text: Text, start: int) -> bool:
    """By two blanks or one tab."""
    if start < 2:
        return False
    before, last = int(text[start - 2].code), int(text[start - 1].code)
    if last == _TAB:
        return before in (_NEWLINE, _TAB, _SPACE)
    return last == _SPACE and before in (_SPACE, _TAB)


@part
def _inseparable(left: _Piece, right: _Piece) -> bool:
    if left.announces or left.opening == Opening.HEADING or right.opening == Opening.RELATION:
        return True
    if right.opening == Opening.ROW and left.opening == Opening.ROW:
        return right.gap_before == Gap.LINE
    if right.gap_before == Gap.LINE and (
        (left.code and (right.code or left.comment)) or (right.comment and not left.ends_sentence)
    ):
        return True
    # Lines of code: a body under its head, and a body that goes on after a blank line. What looks like
    # a heading is a comment there.
    if not right.indented or not (
        right.opening == Opening.OTHER or right.opening == Opening.SMALL or right.comment
    ):
        return False
    return right.gap_before == Gap.LINE or (left.indented and not right.ends_sentence)


@part
def _related(left: _Piece, right: _Piece) -> bool:
    paragraph = right.gap_before == Gap.PARAGRAPH
    if right.in_list and left.in_list:
        return True
    if left.equation and right.equation:
        return True
    if right.opening == Opening.DISPLAY or right.opening == Opening.LINK:
        return True
    if right.opening == Opening.SMALL and not (paragraph and left.ends_sentence):
        return True
    if (right.opening == Opening.CONCLUSION or right.opening == Opening.STEP) and not paragraph:
        return True
    if left.unfinished:
        return True
    if right.opening == Opening.INTERJECTION:
        return False
    if max(left.length, right.length) < _FRAGMENT:
        return True  # an enumeration: "1: Ana", "2: Dan"
    # "Correct." at the end of a paragraph belongs to it; "Wait." begins something.
    return right.length < _FRAGMENT and not paragraph and right.gap_after != Gap.SPACE


_SPACE, _TAB, _NEWLINE = (ord(sign) for sign in " \t\n")
_FULL_STOP, _EXCLAMATION, _QUESTION, _COLON = (ord(sign) for sign in ".!?:")
_NOTHING = -1
