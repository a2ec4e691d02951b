"""A text as a list of pieces, from the places where they end."""

from collections.abc import Sequence
from itertools import accumulate, pairwise


def cut(text: str, ends: Sequence[int]) -> list[str]:
    """The pieces of `text` that end at `ends` (character offsets, ascending): the text up to the last end."""
    return [text[start:end] for start, end in pairwise((0, *ends))]


def offsets(sizes: Sequence[int]) -> list[int]:
    """How much lies before each piece, and after the last: one number more than there are sizes."""
    return [0, *accumulate(sizes)]


def block_texts(text: str, sentence_ends: Sequence[int], block_ends: Sequence[int]) -> list[str]:
    """The blocks of a reasoning; block_ends counts sentences."""
    return cut(text, [sentence_ends[end - 1] for end in block_ends])
