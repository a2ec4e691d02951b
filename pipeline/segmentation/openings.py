"""How a piece of text opens: what its first characters say that it is."""

from enum import IntEnum

from pipeline.segmentation.characters import (
    CAPITAL,
    ITEM_END,
    RELATION,
    SMALL,
    SPACE,
    WORD,
    Text,
    codes_of,
    is_in,
    run,
    run_of,
    stands,
)
from pipeline.segmentation.compiled import part
from pipeline.segmentation.lines import is_prose, item_start
from pipeline.segmentation.words import (
    CONCLUSION,
    INTERJECTION,
    LINK,
    RELATION_COMMAND,
    STEP,
    word_at,
)


class Opening(IntEnum):
    """How a piece opens; the first that fits."""

    OTHER = 0
    ITEM = 1
    STEP = 2
    """Step, Case, … and its number."""
    LINK = 3
    """A word that links the piece with the one before, however far."""
    CONCLUSION = 4
    """A word that links it with the one before in a paragraph."""
    INTERJECTION = 5
    """A word that begins something."""
    PROSE = 6
    SMALL = 7
    """A small letter."""
    ROW = 8
    HEADING = 9
    DISPLAY = 10
    """A displayed formula."""
    RELATION = 11
    """What continues the line before: a relation or what closes it."""


@part
def opening(text: Text, at: int, end: int) -> Opening:
    if item_start(text, at, end) > at:
        return Opening.ITEM
    if is_in(text, at, end, CAPITAL | SMALL):
        return _word_opening(text, at, end)
    if at == end:
        return Opening.OTHER
    code = text[at].code
    if code == _BAR:
        return Opening.ROW
    if _is_heading(text, at, end):
        return Opening.HEADING
    if _is_display(text, at, end):
        return Opening.DISPLAY
    if _is_relation(text, at, end):
        return Opening.RELATION
    return Opening.OTHER


@part
def _word_opening(text: Text, at: int, end: int) -> Opening:
    word, word_end = word_at(text, at, end, STEP | LINK | CONCLUSION | INTERJECTION)
    if word & STEP and _step_number_stands(text, word_end, end):
        return Opening.STEP
    if word & LINK:
        return Opening.LINK
    if word & CONCLUSION:
        return Opening.CONCLUSION
    if word & INTERJECTION:
        return Opening.INTERJECTION
    if is_in(text, at, end, SMALL):
        return Opening.SMALL
    return Opening.PROSE if is_prose(text, at, end) else Opening.OTHER


@part
def _step_number_stands(text: Text, at: int, end: int) -> bool:
    """Whether " 1:", " IV." or " 12)" stands at `at`."""
    if not (at < end and text[at].code == _SPACE):
        return False
    number_end = run(text, at + 1, min(end, at + 1 + _LONGEST_NUMBER), WORD)
    return number_end > at + 1 and is_in(text, number_end, end, ITEM_END)


@part
def _is_heading(text: Text, at: int, end: int) -> bool:
    """Whether "# A" stands at `at`, or "**A**" and nothing else on the line."""
    signs = run_of(text, at, end, _HASH)
    if signs > at:
        return (
            signs - at <= _MOST_SIGNS
            and signs + 1 < end
            and text[signs].code == _SPACE
            and not is_in(text, signs + 1, end, SPACE)
        )
    if not stands(text, at, end, _EMPHASIS):
        return False
    start = close = at + len(_EMPHASIS)
    while (
        close < min(end, start + _LONGEST_HEADING)
        and text[close].code != _ASTERISK
        and text[close].code != _NEWLINE
    ):
        close += 1
    if close == start or not stands(text, close, end, _EMPHASIS):
        return False
    close += len(_EMPHASIS)
    while close < end and (text[close].code == _SPACE or text[close].code == _TAB):
        close += 1
    return close == end or text[close].code == _NEWLINE


@part
def _is_display(text: Text, at: int, end: int) -> bool:
    return (
        stands(text, at, end, _BRACKET)
        or stands(text, at, end, _DOLLARS)
        or stands(text, at, end, _ENVIRONMENT)
    )


@part
def _is_relation(text: Text, at: int, end: int) -> bool:
    """Whether a relation or a closing sign stands at `at`; `==` is code."""
    if text[at].code == _EQUALS:
        return not (at + 1 < end and text[at + 1].code == _EQUALS)
    if text[at].code == _BACKSLASH:
        return word_at(text, at + 1, end, RELATION_COMMAND)[0] != 0
    return is_in(text, at, end, RELATION)


_SPACE, _TAB, _NEWLINE = (ord(sign) for sign in " \t\n")
_BAR, _HASH, _ASTERISK, _EQUALS, _BACKSLASH = (ord(sign) for sign in "|#*=\\")
_EMPHASIS, _BRACKET, _DOLLARS, _ENVIRONMENT = (codes_of(sign) for sign in ("**", "\\[", "$$", "\\begin{"))
_LONGEST_NUMBER = 3
_MOST_SIGNS = 6
_LONGEST_HEADING = 80
