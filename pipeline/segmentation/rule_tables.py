"""Rules about a text's begin or end, many of them tried at once."""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

Verdict = TypeVar("Verdict")


class Rule(NamedTuple):
    name: str
    score: float
    sure: bool
    pattern: str
    """Matched at the start of what the table says that its rules look at."""


class Behind(NamedTuple):
    """Rules about what follows a pattern that they share and that can match in one way only."""

    shared: str
    rules: "tuple[Rule | Behind, ...]"


def deciding(
    rules: Iterable[Rule | Behind], verdict: Callable[[Rule], Verdict]
) -> Callable[[str], Verdict | None]:
    """A function from a text to the verdict of the first rule that holds; to None where none holds.

    All rules are tried as one pattern. verdict: what a rule decides, made once per rule.
    """
    found: list[Rule] = []
    pattern = _told_by_first_letter(_alternatives(rules, found))
    match = re.compile(pattern, re.DOTALL).match
    # Groups are counted from 1.
    verdicts: list[Verdict | None] = [None, *map(verdict, found)]

    def first(text: str) -> Verdict | None:
        held = match(text)
        return verdicts[held.lastindex or 0] if held else None

    return first


def _alternatives(rules: Iterable[Rule | Behind], found: list[Rule]) -> str:
    """The rules as alternatives, the n-th of `found` with the n-th group behind it.

    The groups are empty: an alternative that begins with a character, not with a group, is passed over
    without being entered where the text begins with another.
    """
    parts = []
    for rule in rules:
        if isinstance(rule, Rule):
            found.append(rule)
            parts.append(f"(?:{rule.pattern})()")
        else:
            parts.append(f"{rule.shared}(?:{_alternatives(rule.rules, found)})")
    return "|".join(parts)


_ANY_CASE = re.compile(r"\(\?i:((?:[^()]|\([^()]*\))+)\)")


def _told_by_first_letter(pattern: str) -> str:
    """The same pattern; its lists of words in any case first look whether a word has the text's letter."""
    return _ANY_CASE.sub(_with_first_letters, pattern)


def _with_first_letters(words: re.Match[str]) -> str:
    # Also cut within inner groups, which gives letters too many, never too few.
    alternatives = words[1].split("|")
    if not all(re.match(r"[a-z][^?*{]", word) for word in alternatives):
        return words[0]
    letters = "".join(sorted({word[0] for word in alternatives}))
    return f"(?i:(?=[{letters}])(?:{words[1]}))"
