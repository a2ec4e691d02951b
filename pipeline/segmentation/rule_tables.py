"""Rules about a text's begin or end, many of them tried at once."""

import re
from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

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


class Table(Generic[Verdict]):
    """Rules as one pattern; of those that hold the first decides.

    verdict: what a rule decides, made once per rule.
    """

    def __init__(self, rules: Iterable[Rule | Behind], verdict: Callable[[Rule], Verdict]) -> None:
        found: list[Rule] = []
        self.match = re.compile(_told_by_first_letter(_alternatives(rules, found)), re.DOTALL).match
        self.verdicts = [verdict(rule) for rule in found]

    def first(self, text: str) -> Verdict | None:
        """What the first rule that holds decides; None where none holds."""
        found = self.match(text)
        return self.verdicts[found.lastindex - 1] if found and found.lastindex else None


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
_WORTH_IT = 4


def _told_by_first_letter(pattern: str) -> str:
    """The same pattern; its lists of words in any case first look whether a word has the text's letter."""
    return _ANY_CASE.sub(_with_first_letters, pattern)


def _with_first_letters(words: re.Match[str]) -> str:
    # Also cut within inner groups, which gives letters too many, never too few.
    alternatives = words[1].split("|")
    if len(alternatives) < _WORTH_IT or not all(re.match(r"[a-z][^?*{]", word) for word in alternatives):
        return words[0]
    letters = "".join(sorted({word[0] for word in alternatives}))
    return f"(?i:(?=[{letters}])(?:{words[1]}))"
