"""A reasoning cut into sentences, the atoms of blocks."""

import re

from pipeline.segmentation.split.candidates import candidate_cuts
from pipeline.segmentation.split.merging import merge
from pipeline.segmentation.split.spans import uncut_spans


def split(reasoning: str) -> list[int]:
    """End offsets of the sentences, in characters: strictly increasing, the last `len(reasoning)`.

    Nothing is lost: the sentences concatenate to the reasoning. White space between two sentences
    belongs to the first, so that each begins with its own text. [] for "". Time is linear in the
    text, whatever it holds.
    """
    if not reasoning:
        return []
    text = with_plain_line_ends(reasoning)
    return merge(text, candidate_cuts(text, uncut_spans(text)))


def with_plain_line_ends(text: str) -> str:
    """The text as rules read it, every character at its place: all line ends "\\n" or "\\r\\n".

    What takes no room and parts words, such as U+200B, becomes a space.
    """
    if "\r" in text:
        text = _LONE_RETURN.sub("\n", text)
    for mark in _LINE_ENDS:
        text = text.replace(mark, "\n")
    for mark in _UNSEEN_SPACES:
        text = text.replace(mark, " ")
    return text


_LONE_RETURN = re.compile(r"\r(?!\n)")
_LINE_ENDS = "\v\f\x85\u2028\u2029"
# Zero width space, byte order mark, and the marks of the direction of writing.
_UNSEEN_SPACES = "\u200b\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
