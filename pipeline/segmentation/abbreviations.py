"""Full stops that end no sentence: abbreviations, initials, numbers of list items."""

from pipeline.segmentation.characters import (
    BEFORE_NUMBER,
    BEFORE_WORD,
    BIG_ROMAN,
    CAPITAL,
    DECIMAL,
    LETTER,
    ROMAN,
    SMALL,
    Text,
    is_in,
    run,
)
from pipeline.segmentation.compiled import part
from pipeline.segmentation.words import (
    ABBREVIATION,
    BEFORE_NUMBERS,
    BEGINS_SENTENCE,
    REFERENCE,
    ends_word,
    is_word,
    small,
    word_at,
)


@part
def belongs_to_word(text: Text, line_start: int, dot: int, next_start: int) -> bool:
    """Whether the full stop at `dot` is part of a word or number; `next_start`: what follows it."""
    if dot >= _LONGEST_WORD and run(text, dot - _LONGEST_WORD, dot, LETTER) == dot:
        return False
    first = max(line_start, dot - _LOOKED_AT)
    space = dot - 1
    while space >= first and text[space].code != _SPACE:
        space -= 1
    start = run(text, space + 1, dot, BEFORE_WORD)
    if is_word(text, start, dot, ABBREVIATION) or _is_dotted(text, start, dot):
        return True
    if is_word(text, start, dot, BEFORE_NUMBERS) and _number_follows(text, next_start):
        return True
    if dot - start > _LONGEST_NUMBERING:
        return False
    numbers = _is_numbering(text, start, dot)
    if numbers and start <= line_start + 2:  # "1. Foo" at the start of a line
        return True
    if word_at(text, next_start, len(text), BEGINS_SENTENCE)[0]:
        return False
    before = text[space - 1].code if space > first else _SPACE
    # "J. Smith" and "A. 600, B. 490", but "the point A. Then", "so do I. Mary".
    if dot - start == 1 and is_in(text, start, dot, CAPITAL) and (text[start].code != _I or before == _COMMA):
        return _name_follows(text, next_start)
    return numbers and before == _COLON  # "do this: 1. Foo"


@part
def _is_dotted(text: Text, start: int, end: int) -> bool:
    """Whether it is letters with full stops between them, one or two each time: "e.g", "U.S", "Ph.D"."""
    letters, stops = 0, 0
    for at in range(start, end):
        if text[at].code == _FULL_STOP and letters:
            letters, stops = 0, stops + 1
        elif _SMALL_A <= small(text[at].code) <= _SMALL_Z and letters < 2:
            letters += 1
        else:
            return False
    return stops > 0 and letters > 0


@part
def _number_follows(text: Text, at: int) -> bool:
    """Whether a number, a reference to one or a Roman number stands at `at`; "I" is none."""
    end = len(text)
    if is_in(text, at, end, DECIMAL):
        return True
    if is_in(text, at, end, BEFORE_NUMBER) and is_in(text, at + 1, end, DECIMAL):
        return True
    if at < end and text[at].code == _BACKSLASH:
        return word_at(text, at + 1, end, REFERENCE)[0] != 0
    roman_end = run(text, at, end, BIG_ROMAN)
    if roman_end == at or not ends_word(text, roman_end, end):
        return False
    return roman_end - at > 1 or text[at].code != _I


@part
def _is_numbering(text: Text, start: int, end: int) -> bool:
    """Whether it is the number of a list item: up to three digits, a letter, a Roman number."""
    length = end - start
    if length == 1 and is_in(text, start, end, SMALL | CAPITAL):
        return True
    if 1 <= length <= _MOST_DIGITS and run(text, start, end, DECIMAL) == end:
        return True
    return 1 <= length <= _LONGEST_NUMBERING and run(text, start, end, ROMAN | BIG_ROMAN) == end


@part
def _name_follows(text: Text, at: int) -> bool:
    """Whether a capitalised word, another initial or a number stands at `at`."""
    end = len(text)
    if is_in(text, at, end, CAPITAL):
        return is_in(text, at + 1, end, SMALL) or (at + 1 < end and text[at + 1].code == _FULL_STOP)
    if at < end and text[at].code == _DOLLAR:
        at += 1
    return is_in(text, at, end, DECIMAL)


_SPACE, _FULL_STOP, _COMMA, _COLON, _DOLLAR, _BACKSLASH = (ord(sign) for sign in " .,:$\\")
_I, _SMALL_A, _SMALL_Z = ord("I"), ord("a"), ord("z")
_MOST_DIGITS = 3
_LONGEST_NUMBERING = 4
# Characters before the full stop.
_LOOKED_AT = 12
# No abbreviation of `words.py` has so many letters, and most words at the end of a sentence have.
_LONGEST_WORD = 7
