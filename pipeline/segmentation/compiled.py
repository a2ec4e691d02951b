"""Python functions as machine code, kept on disk for the next process, running without the GIL."""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`function`, compiled for the types of its first call; cached beside its file."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


@cache
def callback(function: Callable[..., float], signature: str) -> Callable[..., float]:
    """`function` compiled for `signature`, in a form that compiled code can take as an argument."""
    return cast(Callable[..., float], numba.cfunc(signature, cache=True)(function))
