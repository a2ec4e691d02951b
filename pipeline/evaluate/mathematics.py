"""Answers compared as mathematics, by math-verify, with what its readings and its rounding miss."""

import logging
import re
from dataclasses import dataclass
from typing import Any

from pipeline.evaluate.answers import FUNCTIONS, bare, without_commands
from pipeline.evaluate.units import split_unit, units_differ

_EXACT, _ROUNDED = 1e-12, 1e-5
_SECONDS = 5


@dataclass(frozen=True)
class Quantity:
    """A number, formula, interval or set as SymPy has it, and the unit or noun behind it."""

    value: Any
    unit: str

    def __str__(self) -> str:
        return str(self.value)


def quantity(answer: str, *, seconds: int | None = _SECONDS) -> Quantity | None:
    """An answer read as mathematics; None where it cannot be read.

    seconds: after which reading is given up, by a signal, which only a main thread gets; None for no limit.
    """
    value, unit = split_unit(bare(answer))
    found = _parsed(f"\\boxed{{{_as_latex(value)}}}", seconds)
    return Quantity(found[0], unit) if found else None


def mentioned(text: str) -> Quantity | None:
    """The formula that a text without a box ends in, as math-verify finds it; None where there is none."""
    found = _parsed(text, _SECONDS)
    return Quantity(found[0], "") if found else None


def same(expected: Quantity, said: Quantity) -> bool:
    """Whether an answer is the expected one: equal as mathematics, in units that do not differ."""
    from math_verify import verify

    if units_differ(expected.unit, said.unit):
        return False
    # An interval may be answered by an inequality, and the other way round.
    if not verify(expected.value, said.value, allow_set_relation_comp=True, timeout_seconds=_SECONDS):
        return False
    return _is_near(expected.value, said.value)


def _parsed(text: str, seconds: int | None) -> list[Any]:
    from latex2sympy2_extended.latex2sympy2 import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse

    # It warns of what is wanted here: to read without a limit where there are no signals.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    reading = LatexExtractionConfig(
        boxed_match_priority=0,
        # Units are read before, here and there in the same way.
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="last"
        ),
    )
    found: list[Any] = parse(text, [reading], fallback_mode="no_fallback", parsing_timeout=seconds)
    return found


def _as_latex(text: str) -> str:
    """A formula as math-verify reads it: numbers whole, functions with a backslash."""
    text = re.sub(r"(?<!\d)(\d{1,3})((?:(?:,|\{,\}|\s)\d{3})+)(?![\d,])", _joined, without_commands(text))
    text = re.sub(r"(\d(?:\.\d+)?)[eE]([-+]?\d+)", r"\1 \\cdot 10^{\2}", text)
    text = re.sub(r"^(-?)\s*(\d+)\s+(\d+)\s*/\s*(\d+)$", r"\1\2\\frac{\3}{\4}", text)
    names = "|".join(sorted(FUNCTIONS - {"sqrt"}, key=len, reverse=True))
    return re.sub(rf"(?<![\\A-Za-z])({names})(?![A-Za-z])", r"\\\1 ", text)


def _joined(found: re.Match[str]) -> str:
    return found[1] + re.sub(r"\D", "", found[2])


def _is_near(expected: Any, said: Any) -> bool:
    """False for numbers that differ by more than rounding: math-verify takes all below 1e-6 for the same."""
    from sympy import Expr, Float

    if not all(isinstance(each, Expr) and each.is_number for each in (expected, said)):
        return True
    tolerance = _ROUNDED if expected.has(Float) or said.has(Float) else _EXACT
    return any(
        abs(one - other) <= tolerance * max(abs(one), abs(other))
        for one in _numbers(expected)
        for other in _numbers(said)
    )


def _numbers(value: Any) -> list[Any]:
    """A number in 15 digits; of a percentage, which math-verify leaves unevaluated, also the 50 of 50 %."""
    from sympy import UnevaluatedExpr

    number = value.replace(UnevaluatedExpr, lambda part: part)
    return [each.evalf() for each in ([number, 100 * number] if value.has(UnevaluatedExpr) else [number])]
