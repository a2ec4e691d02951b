"""JSON as models write it: everything that can be read without doubt is read, and it is said what was mended.

Own code and not a library that repairs JSON: json-repair 0.64 reads all of these, but also, without a word,
an object that was cut (it closes it, and an unfinished remark becomes none), the last of two different
verdicts, the last of two values of a key, and `\\beta` as a backspace. A guess would become points.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.llm.deviations import Deviation

JsonObject = dict[str, Any]

# Where the letter after a backslash begins a command of LaTeX, and no tab, line break, return, backspace or
# form feed as in JSON: what follows "\\t" and "\\n" must be no word without that letter.
_COMMAND = re.compile(
    r"\\(?:[bfr](?=[A-Za-z])|t(?=imes\b|heta\b|ext|au\b|anh\b|riangle|frac|ilde)"
    r"|n(?=abla\b|eq\b|otin\b|leq\b|geq\b|cong\b))"
)
_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|.|$)", re.DOTALL)
_STRING = r'"(?:[^"\\]|\\.)*"'
_SLIPS = re.compile(rf"({_STRING})|,(?=\s*[}}\]])|(?<=[{{,])(\s*)([A-Za-z_]\w*)(?=\s*:)", re.DOTALL)
# "2/3", "2 of 3", "2 out of 3 points", "2 points".
_POINTS = re.compile(r"(\d+)\s*(?:(?:/|of|out of)\s*(\d+))?\s*(?:points?|pts?)?\.?", re.IGNORECASE)
_NOTHING = re.compile(r"|none|null|nil|n/?a|no|empty|(none|nothing)( (is )?missing)?|nothing to add")


def read_object(text: str, schema: Mapping[str, Any]) -> tuple[JsonObject, frozenset[Deviation]]:
    """The one object in a reply that has the properties of `schema`, and what was mended to read it.

    schema: a JSON schema of one level with integers and lists of texts; whether values are within its bounds
    is the caller's to check. Raises ValueError where there is no such object, or several that differ.
    """
    readings = [
        _fitted_objects(values, schema, mended) for values, mended in _ways(text.strip("\ufeff \t\r\n"))
    ]
    found, mended = next(((found, mended) for found, mended in readings if found), ([], set()))
    if not found:
        raise ValueError("no JSON object with these keys in it")
    # Also what only a more lenient way can read may be another verdict.
    if any(one != found[0] for others, _ in readings for one in others):
        raise ValueError("several JSON objects that differ")
    if len(found) > 1:
        mended.add(Deviation.SAID_TWICE)
    return found[0], frozenset(mended)


def _ways(text: str) -> Iterator[tuple[list[Any], set[Deviation]]]:
    """The JSON values of a text and what was mended, ever more leniently: the whole, or each object in it."""
    escaped = _ESCAPE.sub(_json_escape, text)
    always = {Deviation.LONE_BACKSLASH} if escaped != text else set()
    any_object = False
    for candidate, strict in ((escaped, True), (escaped, False), (_SLIPS.sub(_mended_slip, escaped), False)):
        values, is_whole = _decoded(candidate, strict=strict)
        around = set() if is_whole else {Deviation.TEXT_AROUND}
        yield values, always | around | (set() if strict else {Deviation.NOT_QUITE_JSON})
        if is_whole:
            return
        any_object = any_object or bool(values)
    first, last = text.find("{"), text.rfind("}")
    written = _python(text[first : last + 1]) if 0 <= first < last else None
    if written is not None and not any_object:
        around = set() if (first, last) == (0, len(text) - 1) else {Deviation.TEXT_AROUND}
        yield [written], around | {Deviation.NOT_QUITE_JSON}


def _decoded(text: str, *, strict: bool) -> tuple[list[Any], bool]:
    """All objects of a text that are JSON, and whether the text is nothing but one value.

    Raises ValueError where an object has two values under a key.
    """
    decoder = json.JSONDecoder(strict=strict, object_pairs_hook=_without_contradiction)
    try:
        return [decoder.decode(text)], True
    except json.JSONDecodeError:
        pass
    except RecursionError:
        return [], False
    values = []
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
            values.append(value)
        except (json.JSONDecodeError, RecursionError):
            end = at + 1
        at = text.find("{", end)
    return values, False


def _without_contradiction(pairs: list[tuple[str, Any]]) -> JsonObject:
    found: JsonObject = {}
    for key, value in pairs:
        # A NaN is not equal to itself.
        if (kept := found.setdefault(key, value)) is not value and kept != value:
            raise ValueError(f"two values of {key!r}")
    return found


def _json_escape(found: re.Match[str]) -> str:
    """What JSON has for an escape as a model wrote it; a backslash that begins none stands for itself."""
    escape = found[0]
    if escape == "\\'":
        return "'"
    # `_COMMAND` looks at what follows, too.
    if escape[1:2] in ("t", "n", "r", "b", "f"):
        return "\\" + escape if _COMMAND.match(found.string, found.start()) else escape
    return escape if escape[1:2] in ('"', "\\", "/") or len(escape) == 6 else "\\" + escape


def _mended_slip(found: re.Match[str]) -> str:
    string, space, key = found.groups()
    if string is not None:
        return str(string)
    return f'{space}"{key}"' if key is not None else ""


def _python(text: str) -> Any:
    """The value that a text is in Python, of the same types as JSON; None where it is none."""
    doubled = _ESCAPE.sub(lambda found: found[0] if found[0] == "\\'" else _json_escape(found), text)
    try:
        return ast.literal_eval(doubled)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _fitted_objects(
    values: Sequence[Any], schema: Mapping[str, Any], mended: set[Deviation]
) -> tuple[list[JsonObject], set[Deviation]]:
    """The objects with the schema's properties among the values, in a list of them, or in another object."""
    found = []
    for value in values:
        for one in value if isinstance(value, list) else [value]:
            flat = _flat(one) if isinstance(one, dict) and not _fits(one, schema) else one
            if isinstance(flat, dict) and _fits(flat, schema):
                if flat is not value:
                    mended.add(Deviation.WRAPPED)
                found.append(_fitted(flat, schema, mended))
    return found, mended


def _flat(value: JsonObject) -> JsonObject:
    """An object with what its only inner object has beside its own, where no key is in both."""
    inner = [(key, part) for key, part in value.items() if isinstance(part, dict)]
    if len(inner) != 1:
        return value
    (wrapper, part), *_ = inner
    own = {key: told for key, told in value.items() if key != wrapper}
    return value if {*map(_key, own)} & {*map(_key, part)} else {**part, **own}


def _fits(value: JsonObject, schema: Mapping[str, Any]) -> bool:
    """Whether all properties are there but lists, which may be left out where they would be empty."""
    keys = {_key(key) for key in value}
    return all(
        _key(name) in keys or part.get("type") == "array" for name, part in schema["properties"].items()
    )


def _fitted(value: JsonObject, schema: Mapping[str, Any], mended: set[Deviation]) -> JsonObject:
    """The object with the schema's keys alone, each value as the schema has it where that is beyond doubt."""
    fitted: JsonObject = {}
    properties = schema["properties"]
    if value.keys() - properties.keys():
        mended.add(Deviation.OTHER_KEY)
    for name, part in properties.items():
        # Also as "Only confirmed".
        values = [told for key, told in value.items() if _key(key) == _key(name)]
        if any(told != values[0] for told in values[1:]):
            raise ValueError(f"two values of {name!r}")
        told = values[0] if values else None
        if part.get("type") == "integer":
            fitted[name] = _points(told, part, mended)
        elif part.get("type") == "array":
            fitted[name] = _items(told, part, mended)
        else:
            fitted[name] = told
    return fitted


def _key(name: Any) -> str:
    return re.sub(r"[\s_-]+", "_", str(name).strip().casefold())


def _points(told: Any, part: Mapping[str, Any], mended: set[Deviation]) -> Any:
    """A whole number that is written as text, where it says of how many and that is the schema's maximum."""
    found = _POINTS.fullmatch(told.strip()) if isinstance(told, str) else None
    if found is None or found[2] not in (None, str(part.get("maximum"))):
        return told
    mended.add(Deviation.POINTS_AS_TEXT)
    return int(found[1])


def _items(told: Any, part: Mapping[str, Any], mended: set[Deviation]) -> Any:
    """A list of texts within its limits: as many as the first ones that are allowed, and each as long."""
    if told is None or isinstance(told, str):
        mended.add(Deviation.NO_LIST)
        told = [] if told is None or _NOTHING.fullmatch(told.strip(" .!-–\n").casefold()) else [told]
    if not isinstance(told, list) or not all(isinstance(item, str) for item in told):
        return told
    limits = part.get("items", {})
    if limits.get("minLength") and not all(item.strip() for item in told):
        mended.add(Deviation.EMPTY_ITEM)
        told = [item for item in told if item.strip()]
    longest = limits.get("maxLength")
    if longest and any(len(item) > longest for item in told):
        mended.add(Deviation.ITEM_SHORTENED)
        told = [item if len(item) <= longest else f"{item[: longest - 1].rstrip()}…" for item in told]
    most = part.get("maxItems", len(told))
    if len(told) > most:
        mended.add(Deviation.ITEM_DROPPED)
    return told[:most]
