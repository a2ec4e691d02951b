"""Sentences over a bound of tokens, as programs, tables and lines of data are, cut where it hurts least."""

import math
from collections.abc import Sequence

import numpy as np
import regex
from numpy.typing import NDArray

from pipeline.segmentation.split.sentences import with_plain_line_ends
from pipeline.text.tokens import Counts, PieceCounter


def bounded(text: str, ends: Sequence[int], count: PieceCounter, most: int) -> tuple[list[int], Counts]:
    r"""Ends and token counts of the sentences, those of more than `most` tokens cut into parts.

    ends: as `split` gives them; most: at least 8, so that a character has room. No part has more tokens than
    `most`, whatever the text holds. Parts are about equal, and end at the best place that is near: a blank
    line, a line's end, a row's end (`\\`) or a stop, a comma, white space, between two characters as people
    see them, and only then within one. Time is linear in the text.
    """
    tokens = count(text, ends)
    if not (tokens > most).any():
        return list(ends), tokens
    plain = with_plain_line_ends(text)
    # How many tokens end before each character, and before the end of the text.
    before = np.cumsum([0, *count(text, range(1, len(text) + 1))])
    kept: list[int] = []
    start = 0
    for end, size in zip(ends, tokens.tolist(), strict=True):
        if size > most:
            kept += _inner_ends(before[start : end + 1], _worth(plain, start, end), start, most)
        kept.append(end)
        start = end
    return kept, np.diff(before[[0, *kept]]).astype(np.int32)


def _inner_ends(before: NDArray[np.int64], worth: NDArray[np.int8], start: int, most: int) -> list[int]:
    """Where the parts of a sentence end that begins at `start`, but for the last one.

    before: the tokens that end before each of its places; worth: of each as an end.
    """
    cut, ends = 0, list[int]()
    while (left := before[-1] - before[cut]) > most:
        part = int(left / math.ceil(left / most))
        # Whole numbers: to look for another would turn all of `before` into floats, each time.
        first = int(np.searchsorted(before, before[cut] + (part + 1) // 2))
        last = int(np.searchsorted(before, before[cut] + most, side="right"))
        near = worth[first:last]
        best = first + np.flatnonzero(near == near.max())
        cut = int(best[np.argmin(np.abs(before[best] - before[cut] - part))])
        ends.append(start + cut)
    return ends


def _worth(text: str, start: int, end: int) -> NDArray[np.int8]:
    """How good an end each place of a sentence is, from 0, within a character as people see it."""
    worth = np.zeros(end - start + 1, np.int8)
    for value, pattern in enumerate(_PLACES, start=1):
        worth[[found.end() - start for found in pattern.finditer(text, start, end)]] = value
    for found in _PLACES[-1].finditer(text, start, end):
        # The line behind it is not indented: the next function.
        worth[found.end() - start] += text[found.end() - 1] == "\n"
    return worth


# What a part may end with, from the worst to the best; a place has the worth of the last that ends there.
_PLACES = [
    regex.compile(pattern, regex.V1)
    for pattern in (
        r"\X",
        r"\s++",
        # But for the comma of "1,000".
        r"[,;、，；،؛](?!\d{3}\b)\s*+",
        r"(?:\\\\|[.!?…][\"'”’»)\]}*_]*+(?=\s)|[\p{STerm}--[.!?]])\s*+",
        r"\n\s*+",
        r"\n(?:[^\S\n]*+\n)++[^\S\n]*+",
    )
]
