"""The search for blocks compiled, or read from disk, before it is needed, and said so."""

import pickle
from collections.abc import Callable

from pipeline.segmentation.partition.compiled import is_compiled, kept_in
from pipeline.segmentation.partition.hull import best_partition
from pipeline.segmentation.partition.limits import allowed_ends
from pipeline.segmentation.partition.partition import partition


class CompileError(Exception):
    """Machine code that cannot be kept, or that is kept and cannot be read; the message has the remedy."""


def warm_up(tell: Callable[[str], None]) -> None:
    """Compiles the search for blocks; a second where its code is kept.

    tell: hears of it where it must be compiled. Raises CompileError.
    """
    folder, _ = kept_in(best_partition)
    is_kept = all(kept_in(function)[1] for function in (best_partition, allowed_ends))
    if is_compiled(best_partition) and not is_kept:
        times = "once on this machine" if folder else "for this run only, as it cannot be kept"
        tell(f"compiling the search for blocks, {times} (some 10 s)")
    try:
        partition([1.0], [1, 1])
    # numba keeps pickles: a file that a crash has cut off ends too early.
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise CompileError(
            f"{folder}: the compiled search for blocks cannot be kept or read there "
            f"({type(error).__name__}: {error}): "
            "free space, delete the files *.nbi and *.nbc in it, or set NUMBA_CACHE_DIR to another folder"
        ) from error
