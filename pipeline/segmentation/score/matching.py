"""The first rule of a table that matches a text."""

import re
from collections.abc import Callable, Sequence
from itertools import groupby

from pipeline.segmentation.score.rules import Rule


def first_match(rules: Sequence[Rule]) -> Callable[[str], Rule | None]:
    """A function from a text to the first rule that matches at its start; to None where none does.

    All rules are tried as the alternatives of one pattern.
    """
    match = re.compile(_alternatives(rules), re.DOTALL).match
    by_group = (None, *rules)

    def first(text: str) -> Rule | None:
        found = match(text)
        return by_group[found.lastindex or 0] if found else None

    return first


def _alternatives(rules: Sequence[Rule], read: int = 0) -> str:
    """The rules as one pattern; an empty group behind each tells which one matched.

    read: how many patterns of `Rule.behind` stand before it. One that neighbours share is read once.
    """
    parts: list[str] = []
    for shared, neighbours in groupby(rules, lambda rule: rule.behind[read : read + 1]):
        if shared:
            parts.append(f"{shared[0]}(?:{_alternatives(list(neighbours), read + 1)})")
        else:
            parts += [f"(?:{rule.pattern})()" for rule in neighbours]
    return "|".join(parts)
