r"""Text of a trace → HTML: prose as it stands, formulas as MathML, code in colours, and nothing else.

Which parts are formulas or code is what the splitting of sentences finds (`segmentation/split/spans.py`).
"""

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from markupsafe import Markup

from pipeline.report.website.coloured_code import code_block
from pipeline.report.website.formulas import formula
from pipeline.report.website.plain_text import plain
from pipeline.segmentation.split.spans import Span, uncut_spans


def rendered(text: str, doubtful: Collection[str] = ()) -> Markup:
    """HTML of a text. doubtful: numbers, as written in it, that are to be marked."""
    (piece,) = rendered_pieces(text, [len(text)], doubtful)
    return piece


def rendered_pieces(text: str, ends: Sequence[int], doubtful: Collection[str] = ()) -> Iterator[Markup]:
    """HTML of each piece of a text. ends: of the pieces, in characters, ascending, the last the text's.

    A formula or a piece of code that a cut goes through is shown as it stands.
    """
    numbers = _pattern(doubtful)
    spans = iter([(span.start, _whole_end(text, span)) for span in uncut_spans(text)])
    span = next(spans, None)
    for start, end in pairwise((0, *ends)):
        parts, at = [], start
        while span is not None and span[0] < end:
            first, last = span
            if first >= at and last <= end:
                shown = _span(text[first:last], numbers)
                before = text[at:first]
                if _stands_alone(shown):
                    # It has lines of its own, and needs none of the text's around it.
                    before, last = before.rstrip(" \n"), _next_line(text, last, end)
                parts += [_prose(before, numbers), shown]
                at = last
            span = next(spans, None)
        parts.append(_prose(text[at:end], numbers))
        yield Markup("").join(parts)


_CLOSING = re.compile(r"`+|~+|\$\$?|\\[\])]|\"\"\"|'''|\\end\{[a-zA-Z*]*\}")
_FENCE = re.compile(r"(?P<marks>`{3,}|~{3,})[^\S\n]*(?P<language>[\w+#.-]*)[^\n]*\n")
_INLINE = re.compile(r"(?P<marks>`+)(?P<code>.*?)(?P=marks)", re.S)
_MATH = re.compile(
    r"\$\$(?P<dollars>.*)\$\$ | \$(?P<dollar>.*)\$ | \\\[(?P<brackets>.*)\\\] | \\\((?P<inline>.*)\\\)"
    r" | (?P<environment>\\begin\{.*\})",
    re.S | re.X,
)
_DISPLAY = {"dollars", "brackets", "environment"}


def _whole_end(text: str, span: Span) -> int:
    """Where the mark that closes a span ends; a span tells where it begins."""
    closing = _CLOSING.match(text, span.end)
    return closing.end() if closing else span.end


def _stands_alone(shown: Markup) -> bool:
    return shown.startswith(("<pre", '<span class="display"'))


def _next_line(text: str, start: int, end: int) -> int:
    """Where the next line with something begins; `start` where something follows on the same line."""
    found = _LINE_ENDS.match(text, start, end)
    return found.end() if found else start


_LINE_ENDS = re.compile(r"(?:[ \t]*\n)+")


def _span(text: str, numbers: re.Pattern[str] | None) -> Markup:
    if found := _FENCE.match(text):
        code = text[found.end() :].rstrip().removesuffix(found["marks"]).rstrip()
        return code_block(code, found["language"])
    if found := _INLINE.fullmatch(text):
        return Markup("<code>{}</code>").format(_prose(found["code"].strip() or found["code"], numbers))
    if (found := _MATH.fullmatch(text)) and found.lastgroup:
        return _formula(text, found[found.lastgroup], found.lastgroup in _DISPLAY, numbers)
    return _prose(text, numbers)


def _formula(text: str, latex: str, display: bool, numbers: re.Pattern[str] | None) -> Markup:
    mathml = formula(latex.strip(), display=display)
    if mathml is None:
        # Its source, since what a browser would make of half a formula helps nobody.
        shown = Markup('<code class="source">{}</code>').format(plain(text))
    elif display:
        shown = Markup('<span class="display" tabindex="0" title="{}">{}</span>').format(plain(text), mathml)
    else:
        shown = Markup('<span title="{}">{}</span>').format(plain(text), mathml)
    return _marked(shown) if numbers is not None and numbers.search(latex) else shown


def _prose(text: str, numbers: re.Pattern[str] | None) -> Markup:
    if numbers is None or not text:
        return plain(text)
    parts, at = [], 0
    for found in numbers.finditer(text):
        parts += [plain(text[at : found.start()]), _marked(plain(found.group()))]
        at = found.end()
    return Markup("").join([*parts, plain(text[at:])])


def _marked(shown: Markup) -> Markup:
    return Markup('<mark title="stands neither in the block nor in the problem">{}</mark>').format(shown)


def _pattern(numbers: Collection[str]) -> re.Pattern[str] | None:
    """Finds these numbers, also as LaTeX groups them (1{,}000) and as they are raised (2³⁷)."""
    if not numbers:
        return None
    longest_first = sorted(numbers, key=len, reverse=True)
    usual = "|".join(re.escape(number).replace(",", _COMMA) for number in longest_first)
    raised = "|".join(
        number.translate(digits) for number in longest_first if number.isdecimal() for digits in _RAISED
    )
    pattern = rf"(?<![\w.])(?:{usual})(?!\d|[.,]\d)"
    return re.compile(f"{pattern}|(?:{raised})" if raised else pattern)


_COMMA = r"(?:,|\{,\}|\\[,;!:])"
_RAISED = (str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"), str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
