"""Units behind numbers: 5 cm is not 5 km, and it is 5 where nobody asks for a unit."""

import re

_PROSE = r"\\(?:text(?:rm|normal)?|mathrm|mbox|operatorname)"
_POWER = r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)?"
_IN_TEXT = re.compile(
    rf"(?P<value>.*?[\d\\)}}].*?)(?P<unit>(?:\s*(?:\\cdot|/)?\s*{_PROSE}\s*\{{[^{{}}]*\}}{_POWER})+)",
    re.DOTALL,
)
_PLAIN = re.compile(
    rf"(?P<value>.*[\d)}}!])(?P<space>\s*)(?P<unit>[A-Za-zΩµ一-鿿][A-Za-zΩµ一-鿿.]*{_POWER}(?:\s*/?\s*[A-Za-z][A-Za-z.]*{_POWER})*)",
    re.DOTALL,
)
_DEGREES = re.compile(
    r"(?P<value>.*?)\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degrees?)\s*(?P<scale>[CFK]?)", re.DOTALL
)
_MONEY = re.compile(r"(?P<sign>-?)\s*\\?(?P<unit>[$€£])\s*(?P<value>[\d.][^$]*)")
_BASED = re.compile(r"(?P<value>[0-9A-F]+)_\{?(?P<base>\d+)\}?")
# Units of measure with the ways in which they are written. What is not among them is a noun.
_WRITTEN = {
    "m": "metre meter", "cm": "centimetre centimeter", "mm": "millimetre millimeter",
    "km": "kilometre kilometer", "nm": "nanometre nanometer", "in": "inch inches", "ft": "foot feet",
    "yd": "yard", "mi": "mile", "g": "gram", "kg": "kilogram", "mg": "milligram", "lb": "pound",
    "oz": "ounce", "t": "ton tonne", "s": "sec second", "ms": "millisecond", "min": "minute", "h": "hr hour", 
    "day": "", "week": "", "month": "", "year": "yr", "L": "l liter litre", "mL": "ml milliliter millilitre",
    "mol": "mole", "N": "newton", "J": "joule", "kJ": "kilojoule", "W": "watt", "kW": "kilowatt",
    "MW": "megawatt", "mW": "milliwatt", "V": "volt", "A": "ampere", "Ω": "ohm", "C": "coulomb", "T": "tesla",
    "K": "kelvin", "Hz": "hertz", "Pa": "pascal", "kPa": "kilopascal", "eV": "", "MeV": "", "rad": "radian",
    "mph": "", "°": "degree", "$": "dollar", "¢": "cent", "€": "euro", "£": "", "am": "a.m a.m.",
    "pm": "p.m p.m.",
}  # fmt: skip
_UNITS = {name: unit for unit, names in _WRITTEN.items() for name in (unit, *names.split())}
_NO_UNITS = {
    "and",
    "or",
    "mod",
    "choose",
    "if",
    "is",
    "for",
    "sin",
    "cos",
    "tan",
    "log",
    "ln",
    "exp",
    "pi",
    "sqrt",
}


def split_unit(text: str) -> tuple[str, str]:
    r"""The value of an answer and what stands behind it: ("5", "m/s"), ("12", "apples"), ("5x", "").

    A single letter is a unit only where it is known and apart from the number, or in \text{}: 5x and 5m are
    products. Money and the base of a number count as units: ("3.50", "$"), ("1010", "base 2").
    """
    if found := _BASED.fullmatch(text):
        return found["value"], f"base {found['base']}"
    if found := _MONEY.fullmatch(text):
        return found["sign"] + found["value"], found["unit"]
    if found := _DEGREES.fullmatch(text):
        return found["value"], "°" + found["scale"]
    if found := _IN_TEXT.fullmatch(text):
        unit = re.sub(_PROSE + r"\s*\{([^{}]*)\}", r" \1 ", found["unit"]).replace(r"\cdot", " ").strip()
        if degrees := _DEGREES.fullmatch(found["value"]):
            return degrees["value"], "°" + unit
        return (text, "") if _NO_UNITS & {*unit.split()} else (found["value"].strip(), unit)
    if (found := _PLAIN.fullmatch(text)) and _is_unit(found["unit"], is_apart=bool(found["space"])):
        return found["value"], found["unit"]
    return text, ""


def _is_unit(text: str, *, is_apart: bool) -> bool:
    names = re.findall(r"[A-Za-zΩµ一-鿿.]+", text)
    if _NO_UNITS & {*names}:
        return False
    if not is_apart:
        # Chinese has no space before its counters.
        return all((len(name) > 1 and _known(name)) or not name.isascii() for name in names)
    return bool(_known(names[0])) or not names[0].isascii() or len(names[0]) > 2 or names[0] in ("sq", "cu")


def units_differ(one: str, other: str) -> bool:
    """Whether both are units of measure, and not the same one: no unit, or a noun, differs from none."""
    first, second = _dimensions(one), _dimensions(other)
    return first is not None and second is not None and first != second


def _dimensions(text: str) -> dict[str, int] | None:
    """The power of each unit, {"m": 1, "s": -1}; None where there is none, or a noun."""
    if text.startswith(("base ", "°")):
        return {text: 1}
    powers: dict[str, int] = {}
    text = re.sub(r"\b(?:square|sq\.?)\s+([A-Za-z]+)", r"\1^2", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(?:cubic|cu\.?)\s+([A-Za-z]+)", r"\1^3", text, flags=re.IGNORECASE)
    for place, part in enumerate(re.split(r"/|\bper\b", text)):
        for name, power in re.findall(r"([A-Za-zΩµ.$€£¢]+)(?:\s*\^\s*\{?\s*(-?\d))?", part):
            unit = _known(name)
            if unit is None:
                return None
            powers[unit] = powers.get(unit, 0) + (-1 if place else 1) * int(power or 1)
    return powers or None


def _known(name: str) -> str | None:
    low = name.casefold()
    return _UNITS.get(name) or _UNITS.get(low if len(low) > 2 else name) or _UNITS.get(low.removesuffix("s"))
