"""Formulas that stand without marks around them."""

from pipeline.segmentation.characters import CAPITAL, SMALL, Text, run
from pipeline.segmentation.compiled import part
from pipeline.segmentation.words import FUNCTION, word_at


@part
def is_equation(text: Text, start: int, end: int) -> bool:
    """Whether it has an equals sign and no words.

    Symbols, LaTeX commands, names of one or two letters, and functions are none.
    """
    equals, at = False, start
    while at < end:
        letters_end = run(text, at, end, SMALL | CAPITAL)
        if letters_end > at:
            if letters_end - at > _LONGEST_NAME and word_at(text, at, end, FUNCTION)[1] != letters_end:
                return False
            at = letters_end
        elif text[at].code == _BACKSLASH:
            at = run(text, at + 1, end, SMALL | CAPITAL)
        else:
            equals = equals or text[at].code == _EQUALS
            at += 1
    return equals


_EQUALS, _BACKSLASH = ord("="), ord("\\")
_LONGEST_NAME = 2
