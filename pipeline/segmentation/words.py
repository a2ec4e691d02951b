"""Words that the rules know, and how compiled code finds them."""

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation.characters import WORD, Text, is_in
from pipeline.segmentation.compiled import part

# A set of words each; a word may be in several. Small words of ABBREVIATION and BEFORE_NUMBERS are
# found in any case (`is_word`), all others as they are written here (`word_at`).
ABBREVIATION = 1 << 0
BEFORE_NUMBERS = 1 << 1
"""Abbreviations where a number follows, and else words: "no. 5", but "I say no. Then"."""
BEGINS_SENTENCE = 1 << 2
"""What follows a letter that ends a sentence, and no name: "the point A. Then"."""
REFERENCE = 1 << 3
"""LaTeX commands that print a number."""
STEP = 1 << 4
LINK = 1 << 5
CONCLUSION = 1 << 6
INTERJECTION = 1 << 7
RELATION_COMMAND = 1 << 8
"""LaTeX commands that continue the line before."""
FUNCTION = 1 << 9
"""Functions in formulas."""

# An underscore stands for a space; a plus sign says that the last letter may come again and again.
_WORDS = {
    ABBREVIATION: "al cf col dr gen hon jr lt mr mrs ms mt prof resp rev sgt sr st viz vs",
    BEFORE_NUMBERS: """
        approx art ca ch cor def eq eqs eqn eqns ex fig figs lem max min no nos p pp prop ref sec secs thm
        vol jan feb mar apr jun jul aug sep sept oct nov dec""",
    BEGINS_SENTENCE: """
        After All Also Alternatively Although And Another Any Are As Assume At Because Both But By Can
        Check Consider Could Do Does Each Either Finally First For From Given Hence Here Hmm How However
        If In Indeed Is It Its Just Let Like Maybe More Moreover My Next No Not Note Now Of Oh Okay On
        Once One Only Or Otherwise Our Perhaps Plus Same Second Similarly Since So Some Still Such Suppose
        That The Their Then There Therefore These They This Those Thus To Under Using Wait We Well What
        When Where Which While Why With Would Yes Yet You""",
    REFERENCE: "ref eqref",
    STEP: "Step Case Clue Move Row Line Day Year",
    LINK: "And Or Nor Which Where Whose Because That_is That_means This_means i.e.",
    CONCLUSION: "So Then Thus Therefore Hence Also But Since This That These It They",
    INTERJECTION: "Wait Hmm+ Okay OK Ok Alright Now Let First Next Finally Alternatively Oh Ah",
    RELATION_COMMAND: "approx le leq ge geq ne neq equiv to implies Rightarrow rightarrow therefore",
    FUNCTION: "sin cos tan log mod gcd lcm max min exp",
}


def _trie() -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """The words as states, 0 before the first letter.

    Of each state and ASCII character the next state, 0 where no word goes on so; and of each state the
    sets of the word that ends there, a bit each.
    """
    following: list[dict[str, int]] = [{}]
    sets = [0]

    def after(state: int, letter: str) -> int:
        if letter not in following[state]:
            following[state][letter] = len(following)
            following.append({})
            sets.append(0)
        return following[state][letter]

    for named, words in _WORDS.items():
        for word in words.split():
            state = 0
            for letter in word.removesuffix("+").replace("_", " "):
                state = after(state, letter)
            sets[state] |= named
            if word.endswith("+"):
                again = after(state, word[-2])
                following[again][word[-2]] = again
                sets[again] |= named
    table = np.zeros((len(following), _ASCII), dtype=np.int16)
    for state, letters in enumerate(following):
        for letter, then in letters.items():
            table[state, ord(letter)] = then
    return table, np.array(sets, dtype=np.uint16)


_ASCII = 128
_FOLLOWING, _SETS = _trie()


@part
def word_at(text: Text, at: int, end: int, sets: int) -> tuple[int, int]:
    """Sets and end of the longest word that stands at `at` and is in one of `sets`; 0 and 0 for none.

    It ends where a word does, `\\b`, and before `end` or there.
    """
    state, found, found_end = 0, 0, 0
    while at < end and text[at].code < _ASCII:
        state = _FOLLOWING[state, text[at].code]
        if state == 0:
            break
        at += 1
        here = _SETS[state] & sets
        if here and ends_word(text, at, end):
            found, found_end = int(here), at
    return found, found_end


@part
def is_word(text: Text, start: int, end: int, sets: int) -> bool:
    """Whether all from `start` to `end`, in small or capital letters, is a word of one of `sets`."""
    state = 0
    for at in range(start, end):
        code = small(text[at].code)
        state = _FOLLOWING[state, code] if code < _ASCII else 0
        if state == 0:
            return False
    return bool(_SETS[state] & sets)


@part
def ends_word(text: Text, at: int, end: int) -> bool:
    """`\\b` behind the character before `at`, where the text is taken to end at `end`."""
    return is_in(text, at - 1, end, WORD) != is_in(text, at, end, WORD)


@part
def small(code: int) -> int:
    """The small letter of a to z that a letter is where case does not count, else the letter itself."""
    if _A <= code <= _Z:
        return code + _TO_SMALL
    for special, letter in _SPECIAL:
        if code == special:
            return letter
    return code


_A, _Z = ord("A"), ord("Z")
_TO_SMALL = ord("a") - ord("A")
# As `re.IGNORECASE` has it: the long s, the Kelvin sign, and the dotless and the dotted i of Turkish.
_SPECIAL = tuple((ord(special), ord(letter)) for special, letter in zip("ſ\u212aıİ", "skii", strict=True))
