"""Texts from the offsets that the stages keep: sentences of a reasoning, blocks of its sentences."""

from collections.abc import Sequence
from itertools import pairwise


def cut(text: str, ends: Sequence[int]) -> list[str]:
    """The pieces of the text that end at these offsets (characters, ascending)."""
    return [text[start:end] for start, end in pairwise((0, *ends))]


def blocks_of(reasoning: str, sentence_ends: Sequence[int], block_ends: Sequence[int]) -> list[str]:
    """The texts of the blocks; `block_ends` counts sentences, each from 1 to len(sentence_ends)."""
    return cut(reasoning, [sentence_ends[end - 1] for end in block_ends])


def covers(ends: Sequence[int], length: int) -> bool:
    """Whether pieces with these ends cover 0 … length once, in order, none of them empty."""
    return all(start < end for start, end in pairwise((0, *ends))) and (ends[-1] if ends else 0) == length
