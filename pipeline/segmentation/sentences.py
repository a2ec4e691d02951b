"""A reasoning cut into sentences, the atoms of blocks."""

from pipeline.segmentation.cuts import candidate_cuts
from pipeline.segmentation.merging import merge


def split(reasoning: str) -> list[int]:
    """End offsets of the sentences, in characters: strictly increasing, the last `len(reasoning)`.

    Nothing is lost: the sentences concatenate to the reasoning. White space between two sentences
    belongs to the first, so that each begins with its own text. [] for "". Time is linear in the
    text, whatever it holds. `cuts.candidate_cuts` says what is never cut, `merging.merge` what is
    joined again.
    """
    return merge(reasoning, candidate_cuts(reasoning)) if reasoning else []
