"""How many tokens the KV cache holds while a text is written."""

import numpy as np

from pipeline.attention.visibility import Ints


def held_tokens(visible_until: Ints) -> Ints:
    """For each of n tokens, how many are held while it is computed: itself and those it still sees.

    visible_until: of one document. A layer with a sliding window holds less.
    """
    n = len(visible_until)
    gone = np.cumsum(np.bincount(visible_until, minlength=n + 1)[:n])
    return np.arange(1, n + 1) - gone
