"""Python functions as machine code, kept on disk for the next process, running without the GIL."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])
Made = TypeVar("Made")


def compiled(function: Function) -> Function:
    """`function`, compiled for the types of its first call; kept beside its file.

    Where that folder cannot be written it is kept in the user's cache folder, and where neither can,
    it is compiled again by every process, and a warning says so.
    """
    return cast(
        Function,
        _kept(lambda keep: numba.njit(cache=keep, nogil=True, error_model="numpy")(function)),
    )


@cache
def callback(function: Callable[..., float], signature: str) -> Callable[..., float]:
    """`function` compiled for `signature`, in a form that compiled code can take as an argument."""
    return cast(Callable[..., float], _kept(lambda keep: numba.cfunc(signature, cache=keep)(function)))


def _kept(make: Callable[[bool], Made]) -> Made:
    try:
        return make(True)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        warnings.warn(
            "the cut into blocks is compiled anew, which takes seconds in every process, as neither the "
            "package's folder nor the user's cache can be written: set NUMBA_CACHE_DIR to a folder that can",
            stacklevel=3,
        )
        return make(False)
