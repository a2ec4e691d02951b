"""A text as the numbers of its characters, and the sets of characters that the rules speak of."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation.compiled import part

Codes = NDArray[np.uint32]
Rows = NDArray[Any]
"""An array of records, whose fields are read and set by name."""
Text = Rows
"""A row for each character: its `code`, and the `sets` that it is in, a bit each."""
_CHARACTER = np.dtype((np.record, [("code", np.uint32), ("sets", np.uint32)]))

# As Python's `str` and `re` have them, for every character of Unicode.
SPACE = 1 << 0
WORD = 1 << 1
"""`\\w`."""
DECIMAL = 1 << 2
"""`\\d`."""
DIGIT = 1 << 3
"""`str.isdigit`, which ² is too."""
LETTER = 1 << 4

# Named character by character.
SMALL = 1 << 5
CAPITAL = 1 << 6
BLANK = 1 << 7
"""White space within a line; a tab ends the cell of a table and no sentence."""
MARK = 1 << 8
"""Where a cut or a span may begin."""
STOP = 1 << 9
WIDE_STOP = 1 << 10
CLOSING = 1 << 11
"""Quotes, brackets and emphasis between a full stop and the white space behind it."""
WIDE_CLOSING = 1 << 12
NEVER_FIRST = 1 << 13
"""What begins no sentence: small letters, operators, signs that close or go on."""
BEFORE_WORD = 1 << 14
"""What opens before a word: brackets, quotes, emphasis."""
ITEM_SIGN = 1 << 15
ITEM_END = 1 << 16
APOSTROPHE = 1 << 17
OPENING_BRACKET = 1 << 18
CLOSING_BRACKET = 1 << 19
ROMAN = 1 << 20
"""Small ones, as those of list items."""
BIG_ROMAN = 1 << 21
ESCAPED = 1 << 22
"""What a backslash makes a command of."""
RELATION = 1 << 23
"""What continues the line before."""
UNFINISHED = 1 << 24
"""What asks for the piece behind it."""
TRAILING = 1 << 25
"""White space and emphasis behind a piece."""
BEFORE_NUMBER = 1 << 26

_SETS = {
    SMALL: "abcdefghijklmnopqrstuvwxyz",
    CAPITAL: "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    MARK: "\n.!?…。！？`~$\\\"'",
    STOP: ".!?…",
    WIDE_STOP: "。！？",
    CLOSING: "\"'”’»)]}*_",
    WIDE_CLOSING: "\"'”’」』）)]*_",
    NEVER_FIRST: "abcdefghijklmnopqrstuvwxyz/=+×÷^<>,;:)]}&|−",
    BEFORE_WORD: "([{\"'“‘*_$",
    ITEM_SIGN: "-*+•–",
    ITEM_END: ".):",
    APOSTROPHE: "'’",
    OPENING_BRACKET: "([{",
    CLOSING_BRACKET: ")]}",
    ROMAN: "ivx",
    BIG_ROMAN: "IVX",
    ESCAPED: "][()\\$`",
    RELATION: "≈≤≥≠≡→⇒⟹∴,;)]}",
    UNFINISHED: ",;=+-−×·/<>≤≥≈→⇒&(\\",
    TRAILING: "*_ \t\r\n",
    BEFORE_NUMBER: "([$",
}


def codes_of(text: str) -> Codes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


@cache
def character_sets() -> NDArray[np.uint32]:
    """Of every character the sets that it is in."""
    characters = np.arange(0x110000, dtype=np.uint32).view("U1")
    sets = np.zeros(len(characters), dtype=np.uint32)
    sets[np.strings.isspace(characters)] |= SPACE | BLANK
    sets[np.strings.isalnum(characters)] |= WORD
    sets[np.strings.isdecimal(characters)] |= DECIMAL
    sets[np.strings.isdigit(characters)] |= DIGIT
    sets[np.strings.isalpha(characters)] |= LETTER
    sets[ord("_")] |= WORD
    for named, members in _SETS.items():
        sets[codes_of(members)] |= named
    sets[codes_of("\n\t")] &= ~np.uint32(BLANK)
    return sets


@part
def rows(codes: Codes, sets: NDArray[np.uint32]) -> Text:
    """The text of these characters; sets: `character_sets()`."""
    text = np.empty(len(codes), dtype=_CHARACTER)
    for at in range(len(codes)):
        text[at].code = codes[at]
        text[at].sets = sets[codes[at]]
    return text


@part
def is_in(text: Text, at: int, end: int, sets: int) -> bool:
    """Whether the character at `at`, which lies before `end`, is in one of the sets."""
    return at < end and bool(text[at].sets & sets)


@part
def run(text: Text, at: int, end: int, sets: int) -> int:
    """Where the characters that are in one of the sets end, from `at` on and before `end`."""
    while at < end and text[at].sets & sets:
        at += 1
    return at


@part
def run_of(text: Text, at: int, end: int, code: int) -> int:
    """Where the row of one character ends."""
    while at < end and text[at].code == code:
        at += 1
    return at


@part
def stands(text: Text, at: int, end: int, literal: Codes) -> bool:
    """Whether just these characters stand at `at`, all before `end`."""
    same = 0
    while same < len(literal) and at + same < end and text[at + same].code == literal[same]:
        same += 1
    return same == len(literal)
