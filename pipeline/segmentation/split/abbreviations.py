"""Full stops that end no sentence: abbreviations, initials, numbers of list items."""

import re


def belongs_to_word(text: str, line_start: int, dot: int, next_start: int) -> bool:
    """Whether the full stop at `dot` is part of a word or number; `next_start`: what follows it."""
    if dot >= _LONGEST_WORD and text[dot - _LONGEST_WORD : dot].isalpha():
        return False
    before, _, word = text[max(line_start, dot - _LOOKED_AT) : dot].rpartition(" ")
    word = word.lstrip("([{\"'“‘*_$")
    lower = word.lower()
    if lower in _ABBREVIATIONS or ("." in lower and _DOTTED.fullmatch(lower)):
        return True
    if lower in _BEFORE_NUMBERS and _NUMBER.match(text, next_start):
        return True
    if len(word) > _LONGEST_LIST_NUMBER:
        return False
    is_number = _LIST_NUMBER.fullmatch(word) is not None
    if is_number and dot - len(word) <= line_start + 2:  # "1. Foo" at the start of a line
        return True
    if begins_sentence(text, next_start):
        return False
    # "J. Smith" and "A. 600, B. 490", but "the point A. Then", "so do I. Mary".
    if _INITIAL.fullmatch(word) or (word == "I" and before.endswith(",")):
        return _NAME.match(text, next_start) is not None
    return is_number and before.endswith(":")  # "do this: 1. Foo"


def abbreviates(text: str, line_start: int, stop: int) -> bool:
    """Whether the word before a stop that a small letter follows is an abbreviation: "approx. five"."""
    if text[stop] != ".":
        return False
    word = _LAST_LETTERS.search(text, max(line_start, stop - _LOOKED_AT), stop)
    return word is not None and word[0].lower() in _ABBREVIATIONS | _BEFORE_NUMBERS | _BEFORE_SMALL_LETTERS


def begins_sentence(text: str, start: int) -> bool:
    """Whether a word stands there that begins sentences and is no name: "the point A. Then"."""
    word = _CAPITALISED.match(text, start)
    return word is not None and word[0] in _SENTENCE_BEGINNINGS


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ABBREVIATIONS = _words("al cf col dr gen hon jr lt mr mrs ms mt prof resp rev sgt sr st viz vs")
# Abbreviations where a number follows, and else words: "no. 5", but "I say no. Then".
_BEFORE_NUMBERS = _words("""
    approx art ca ch cor def eq eqs eqn eqns ex fig figs lem max min no nos p pp prop ref sec secs thm
    vol jan feb mar apr jun jul aug sep sept oct nov dec""")
# In languages with capitals; a single letter ("т. е.") is no word to begin with.
_BEFORE_SMALL_LETTERS = _words("""
    abbr etc eg est excl ie incl wrt bzgl bzw evtl ggf inkl usw vgl env ej напр рис см стр табл""")
_SENTENCE_BEGINNINGS = _words("""
    After All Also Alternatively Although And Another Any Are As Assume At Because Both But By Can
    Check Consider Could Do Does Each Either Finally First For From Given Hence Here Hmm How However
    If In Indeed Is It Its Just Let Like Maybe More Moreover My Next No Not Note Now Of Oh Okay On
    Once One Only Or Otherwise Our Perhaps Plus Same Second Similarly Since So Some Still Such Suppose
    That The Their Then There Therefore These They This Those Thus To Under Using Wait We Well What
    When Where Which While Why With Would Yes Yet You""")
_LAST_LETTERS = re.compile(r"[^\W\d_]+\Z")
_DOTTED = re.compile(r"(?:[a-z]{1,2}\.)+[a-z]{1,2}")  # e.g, U.S, Ph.D
_NUMBER = re.compile(r"[(\[$]?\d|\\(?:eq)?ref\b|(?!I\b)[IVX]+\b")
_LIST_NUMBER = re.compile(r"\d{1,3}|[a-zA-Z]|[ivxIVX]{1,4}")
_CAPITALISED = re.compile(r"[A-Z][a-z]*+\b")
_INITIAL = re.compile(r"[A-HJ-Z]")
_NAME = re.compile(r"[A-Z](?:[a-z]|\.)|\$?\d")
_LONGEST_LIST_NUMBER = 4
# Characters before the full stop.
_LOOKED_AT = 12
# No abbreviation above has so many letters, and most words at the end of a sentence have.
_LONGEST_WORD = 7
