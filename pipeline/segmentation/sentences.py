"""A reasoning cut into sentences, the atoms of blocks."""

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation.characters import Codes, character_sets, codes_of, rows
from pipeline.segmentation.compiled import compiled
from pipeline.segmentation.cuts import candidate_cuts
from pipeline.segmentation.merging import merge


def split(reasoning: str) -> list[int]:
    """End offsets of the sentences, in characters: strictly increasing, the last `len(reasoning)`.

    Nothing is lost: the sentences concatenate to the reasoning. White space between two sentences
    belongs to the first, so that each begins with its own text. [] for "". Time is linear in the
    text, whatever it holds. `cuts.candidate_cuts` says what is never cut, `merging.merge` what is
    joined again. Compiled: the first call on a machine takes some ten seconds, and the code is kept.
    """
    if not reasoning:
        return []
    ends: list[int] = sentence_ends(codes_of(reasoning), character_sets()).tolist()
    return ends


@compiled
def sentence_ends(codes: Codes, sets: NDArray[np.uint32]) -> NDArray[np.int64]:
    text = rows(codes, sets)
    return merge(text, candidate_cuts(text))
