"""Python functions as machine code, kept on disk for the next process, running without the GIL."""

import hashlib
import inspect
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.types import unliteral

Function = TypeVar("Function", bound=Callable[..., Any])
Made = TypeVar("Made")


def compiled(function: Function) -> Function:
    """`function`, compiled for the types of its first call; kept beside its file.

    It is compiled again after a change of any file in its folder, where the functions lie that it
    calls. Where that folder cannot be written it is kept in the user's cache folder, and where neither
    can, it is compiled again by every process, and a warning says so. With NUMBA_DISABLE_JIT=1 it stays
    as it is, for a debugger.
    """
    # numba asks whether the file of a function has changed, not those of the functions that it calls. It
    # names what it keeps by the function, and so each state of the folder has files of its own.
    function.__qualname__ += f"-{_digest(Path(inspect.getfile(function)).parent)}"
    return cast(
        Function,
        _kept(lambda keep: numba.njit(cache=keep, nogil=True, error_model="numpy")(function)),
    )


def is_compiled(function: Any) -> bool:
    """Whether a `compiled` function is one: with NUMBA_DISABLE_JIT=1 it is not."""
    return hasattr(function, "stats")


def kept_in(function: Any) -> tuple[str, bool]:
    """The folder where the machine code of a `compiled` function is kept, and whether it is there already.

    "" where none can be kept, or none is made.
    """
    folder = function.stats.cache_path if is_compiled(function) else None
    if not folder:
        return "", False
    return folder, any(Path(folder).glob(f"*{function.__qualname__}*.nbc"))


def part(function: Function) -> Function:
    """`function`, compiled with the `compiled` one that calls it and kept within that one."""
    made = numba.njit(nogil=True, error_model="numpy")(function)
    if made is function:  # NUMBA_DISABLE_JIT
        return function
    template = made.get_call_template
    # numba would compile it once for every value of a constant argument.
    made.get_call_template = lambda args, kws: template(tuple(map(unliteral, args)), kws)
    return cast(Function, made)


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
            "the search for blocks is compiled anew, which takes seconds in every process, as "
            "neither the package's folder nor the user's cache can be written: set NUMBA_CACHE_DIR to a "
            "folder that can",
            stacklevel=1,  # one place, so that it is told once
        )
        return make(False)


@cache
def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:_DIGITS]


_DIGITS = 12
