"""Machine code made or read before it is needed, so that somebody hears what the wait is for."""

import pickle
from collections.abc import Callable

import numpy as np

from pipeline.segmentation import boundaries, hull, sentences, tokens
from pipeline.segmentation.characters import codes_of
from pipeline.segmentation.compiled import is_compiled, kept_in
from pipeline.segmentation.cues import score_boundaries
from pipeline.segmentation.partition import partition


class CompileError(Exception):
    """Machine code that cannot be kept, or that is kept and cannot be read; the message has the remedy."""


def make_ready(tell: Callable[[str], None]) -> None:
    """The splitter, the rules and the search for blocks as machine code; a second where it is kept.

    tell: hears of it where it must be compiled. Raises CompileError.
    """
    functions = sentences.sentence_ends, tokens.tokens_by_piece, boundaries.verdicts, hull.best_partition
    folder, _ = kept_in(sentences.sentence_ends)
    if is_compiled(sentences.sentence_ends) and not all(kept_in(function)[1] for function in functions):
        times = "once on this machine" if folder else "for this run only, as it cannot be kept"
        tell(f"compiling the splitter, {times} (some 20 s)")
    try:
        ends = sentences.split("A text.")
        no_tokens, no_lengths = np.empty(0, np.uint32), np.empty(0, np.int64)
        tokens.tokens_by_piece(no_tokens, no_lengths, codes_of("A text."), np.array(ends))
        score_boundaries("A text.", ends)
        partition([1.0], [1, 1])
    # numba keeps pickles: a file that a crash has cut off ends too early.
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise CompileError(
            f"{folder}: the compiled splitter cannot be kept or read there "
            f"({type(error).__name__}: {error}): "
            "free space, delete the files *.nbi and *.nbc in it, or set NUMBA_CACHE_DIR to another folder"
        ) from error
