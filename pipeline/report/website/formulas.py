"""LaTeX → MathML, which browsers draw without a script."""

import re
from functools import lru_cache

from markupsafe import Markup
from math_core import LatexError, LatexToMathML

from pipeline.report.website.plain_text import has_controls

# The converter recurses without a bound of its own: some 5,000 levels end the process. In so many characters
# no text reaches 1,000 levels that are written without braces.
_LONGEST = 4_000
_DEEPEST = 60
_TAG = re.compile(r"</?([a-z]+)((?: [a-z]+=\"[^\"<>]*\")*)/?>")
_STYLE = re.compile(r' style="([^"]*)"')
# MathML Core's own elements; none of them loads, links or runs anything.
_ELEMENTS = frozenset(
    {"math", "menclose", "merror", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom"}
    | {"mprescripts", "mroot", "mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable"}
    | {"mtd", "mtext", "mtr", "munder", "munderover"}
)
_HANDLER_OR_LINK = re.compile(r" (?:on[a-z]+|href|src)=")


def formula(latex: str, *, display: bool) -> Markup | None:
    """MathML of a formula; None where it is no LaTeX that can be converted, so that its source is shown.

    display: whether it stands on lines of its own. What the converter writes is let through only where every
    element is one of MathML's; attributes that a page's policy refuses (style) become classes or go.
    """
    if len(latex) > _LONGEST or has_controls(latex) or _depth(latex) > _DEEPEST:
        return None
    return _converted(latex, display)


@lru_cache(maxsize=20_000)
def _converted(latex: str, display: bool) -> Markup | None:
    try:
        mathml = _CONVERTER.convert_with_local_state(latex, displaystyle=display)
    except LatexError:
        return None
    rest = _TAG.sub(lambda tag: "" if tag[1] in _ELEMENTS else "<", mathml)
    if "<" in rest or ">" in rest or _HANDLER_OR_LINK.search(mathml):
        return None
    return Markup(_STYLE.sub(_as_class, mathml))


_CONVERTER = LatexToMathML(fancy_error=False)


def _as_class(style: re.Match[str]) -> str:
    """What a style says of a cell's alignment, as a class of the stylesheet."""
    for side in ("right", "left"):
        if f"text-align: {side}" in style[1]:
            return f' class="{side}"'
    return ""


def _depth(latex: str) -> int:
    depth = deepest = 0
    for sign in latex:
        if sign == "{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign == "}":
            depth -= 1
    return deepest
