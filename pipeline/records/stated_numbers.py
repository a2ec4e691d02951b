"""Numbers of a text, whatever way they are written: 1,000 and 1000, 0.50 and .5, 3/4 and \\frac{3}{4}."""

import re
from bisect import bisect_left
from collections.abc import Sequence

TRIVIAL = frozenset(str(n) for n in range(11))


def unsupported_numbers(claim: str, *sources: str) -> list[str]:
    """Numbers of the claim, as written there, whose value stands in none of the sources.

    Left alone: the integers 0 to 10, numbers of list items (of two or more that count up), and digits inside
    a name (x12, sha256). A number counts as standing there, too, where a source has it spelled out (twelve),
    as a fraction, a percentage or a power of ten, or with more decimals than the claim. Time is linear in
    the texts.
    """
    claimed = dict.fromkeys(_CLAIMED.findall(_without_list_numbers(_plain(claim))))
    wanted = [number for number in claimed if _joined(number) not in TRIVIAL]
    if not wanted:
        return []
    source = _plain("\n".join(sources))
    values = _values(source)
    missing = [number for number in wanted if not _stands(number, values)]
    if not missing:
        return []
    amounts = sorted({*_derived(source, values), *(float(value) for value in values if "." in value)})
    return [number for number in missing if not _rounds(number, amounts)]


# Digits may be grouped: 1,000  1{,}000  1\,000  1 000  1_000.
_GROUPED = r"[0-9]{1,3}(?:(?:,|_|[ \u00a0\u2009\u202f])[0-9]{3})+(?![0-9])(?:\.[0-9]+)?"
_SIMPLE = r"[0-9]+(?:\.[0-9]+)?|(?<![\w.)\]%])\.[0-9]+"
_ANYWHERE = re.compile(rf"(?<![0-9]){_GROUPED}|{_SIMPLE}")
_CLAIMED = re.compile(rf"(?<![\w.]){_GROUPED}|(?<![\w.])(?:{_SIMPLE})")
_SEPARATOR = re.compile(r"[,_ \u00a0\u2009\u202f]")
_LIST_NUMBER = re.compile(r"(?m)^[ \t]*(?:\(([0-9]{1,2})\)|([0-9]{1,2})[.):](?![0-9]))")
_LATEX_GROUPING = re.compile(r"(?<=[0-9])(?:\{,\}|\\[,;!:])(?=[0-9]{3})")
_RAISED = re.compile(r"[⁰¹²³⁴-⁹₀-₉]+")
# At most 15 digits: what a float holds exactly, and no text can make the arithmetic below overflow.
_FRACTION = re.compile(
    r"(?<![0-9])([0-9]{1,15})\s*/\s*([0-9]{1,15})(?![0-9])"
    r"|\\[dt]?frac\s*\{\s*([0-9]{1,15})\s*\}\s*\{\s*([0-9]{1,15})\s*\}"
)
_PERCENT = re.compile(r"(?<![0-9.])([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*(?:\\?%|percent)")
_POWER_OF_TEN = re.compile(r"(?<![0-9.])10\s*(?:\^|\*\*)\s*\{?\s*([0-9]{1,2})(?![0-9])")
_EXPONENT = re.compile(r"(?<![0-9.])([0-9]{1,15}(?:\.[0-9]{1,15})?)[eE]([+-]?[0-9]{1,2})(?![0-9])")
_WORD_VALUES = {
    "eleven": 11, "twelve": 12, "dozen": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30,
    "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100,
    "thousand": 1000, "million": 10**6, "billion": 10**9, "half": 0.5, "quarter": 0.25,
}  # fmt: skip
_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉", "01234567890123456789")


def _plain(text: str) -> str:
    if "\\" in text or "{,}" in text:
        text = _LATEX_GROUPING.sub(",", text)
    if not text.isascii():
        text = _RAISED.sub(lambda run: f" {run.group().translate(_DIGITS)} ", text)
    return text


def _without_list_numbers(text: str) -> str:
    """The text without the numbers at the starts of two or more lines that count up: 11. … 12. …"""
    numbered = [(int(found[1] or found[2]), found.span()) for found in _LIST_NUMBER.finditer(text)]
    if len(numbered) < 2:
        return text  # "97. That is the answer." is no list
    before, after = [None, *numbered[:-1]], [*numbered[1:], None]
    kept, start = [], 0
    for (number, (first, end)), left, right in zip(numbered, before, after, strict=True):
        if (left and left[0] + 1 == number) or (right and right[0] - 1 == number):
            kept.append(text[start:first])
            start = end
    return "".join([*kept, text[start:]])


def _canonical(number: str) -> str:
    whole, _, decimals = number.partition(".")
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole


def _joined(text: str) -> str:
    return _canonical(_SEPARATOR.sub("", text))


def _parts(text: str) -> set[str]:
    # "1,234" may be one number or the pair (1,234): both readings are kept.
    return {_canonical(part) for part in _SEPARATOR.split(text)}


def _values(source: str) -> set[str]:
    values: set[str] = set()
    for text in set(_ANYWHERE.findall(source)):
        if text.isdigit():
            values.add(_canonical(text))
        else:
            values |= {_joined(text), *_parts(text)}
    return values


def _stands(number: str, values: set[str]) -> bool:
    pair = _parts(number) - TRIVIAL
    return _joined(number) in values or (bool(pair) and pair <= values)


def _derived(source: str, values: set[str]) -> set[float]:
    """What the source's fractions, percentages, powers of ten and number words amount to."""
    lower = source.lower()
    amounts: set[float] = {value for word, value in _WORD_VALUES.items() if word in lower}
    for a, b, c, d in _FRACTION.findall(source):
        if int(b or d):
            amounts.add(int(a or c) / int(b or d))
    amounts.update(float(percent) / 100 for percent in _PERCENT.findall(source))
    amounts.update(10.0 ** int(power) for power in _POWER_OF_TEN.findall(source))
    amounts.update(float(digits) * 10.0 ** int(power) for digits, power in _EXPONENT.findall(source))
    shares = {value for value in amounts if value < 1}
    shares.update(float(value) for value in values if value.startswith("0."))
    amounts.update(share * 100 for share in shares)
    return amounts


def _rounds(number: str, amounts: Sequence[float]) -> bool:
    """Whether one of the amounts (ascending) gives the number when it is rounded or its decimals are cut."""
    value = float(_joined(number))
    decimals = len(_joined(number).partition(".")[2])
    unit = 10.0**-decimals
    # Floats are a little off, relative to their size.
    tolerance = 1e-9 * max(unit, value * 1e-6)
    first = bisect_left(amounts, value - unit / 2 - tolerance)
    most = value + unit if decimals else value + unit / 2
    return first < len(amounts) and amounts[first] < most - tolerance
