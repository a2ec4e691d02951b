"""A reasoning cut into sentences, the atoms of blocks."""

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
    return merge(reasoning, candidate_cuts(reasoning, uncut_spans(reasoning)))
