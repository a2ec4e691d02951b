"""Patterns of `re` as terms: what a text may hold where a pattern matches at its start."""

import re
from collections.abc import Callable, Sequence
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from pipeline.segmentation.alphabet import Alphabet, small
from pipeline.segmentation.languages import ANYTHING, END, Characters, Languages, Term

_Items = Sequence[tuple[Any, Any]]
_Test = Callable[[str], bool]
# What may follow a place of a pattern: behind a character that is no part of a word, and behind one that is.
_Rest = tuple[Term, Term]
_ANY_REST = (ANYTHING, ANYTHING)


class Patterns:
    """Reads patterns, all over one alphabet.

    Of the syntax of `re`, which the standard library parses, it knows characters and sets of them, "." for
    any character, alternatives, repeats, possessive ones too, groups, `(?i:`, looking ahead, `\\b` and `$`.
    What is repeated possessively must be such that it can match in one way only.
    """

    def __init__(self, alphabet: Alphabet) -> None:
        self.languages = Languages(len(alphabet.examples))
        self._alphabet = alphabet
        self._word = alphabet.where(_CATEGORIES["CATEGORY_WORD"])
        self._newline = alphabet.where("\n".__eq__)
        self._sets: dict[str, Characters] = {}

    def term(self, pattern: str) -> Term:
        """The texts that begin as the pattern says. Raises ValueError for syntax that is not known."""
        try:
            parsed = _parser.parse(pattern, re.DOTALL)
        except re.error as error:
            raise ValueError(f"a pattern cannot be read: {error}: {pattern}") from error
        if parsed.state.flags & ~(re.DOTALL | re.UNICODE):
            raise ValueError(f"a pattern has flags for all of it, which are not known here: {pattern}")
        behind_no_word, _ = self._before(parsed, _ANY_REST, False)
        return behind_no_word

    def _before(self, items: _Items, rest: _Rest, any_case: bool) -> _Rest:
        """The items, and `rest` behind them."""
        for kind, value in reversed(items):
            rest = self._item(str(kind), value, rest, any_case)
        return rest

    def _item(self, kind: str, value: Any, rest: _Rest, any_case: bool) -> _Rest:
        either, both, no = self.languages.either, self.languages.all, self.languages.no
        match kind, value:
            case (("LITERAL" | "NOT_LITERAL" | "ANY" | "IN"), _):
                return self._character(kind, value, rest, any_case)
            case "SUBPATTERN", (_, added, 0, items) if added in (0, re.IGNORECASE):
                return self._before(items, rest, any_case or bool(added))
            case "BRANCH", (_, branches):
                return _each(either, *(self._before(items, rest, any_case) for items in branches))
            case "MAX_REPEAT", (least, most, items):
                return self._repeated(least, most, items, rest, rest, any_case)
            case "POSSESSIVE_REPEAT", (least, most, items):
                once_more = self._before(items, _ANY_REST, any_case)
                stop = _each(both, rest, _each(no, once_more))
                return self._repeated(least, most, items, rest, stop, any_case)
            case "ASSERT", (1, items):
                return _each(both, rest, self._before(items, _ANY_REST, any_case))
            case "ASSERT_NOT", (1, items):
                return _each(both, rest, _each(no, self._before(items, _ANY_REST, any_case)))
            case "AT", _ if str(value) == "AT_BOUNDARY":
                word = self.languages.then(self._word, ANYTHING)
                return both(rest[0], word), both(rest[1], no(word))
            case "AT", _ if str(value) == "AT_END":
                end = either(END, self.languages.then(self._newline, END))
                return _each(both, rest, (end, end))
        raise ValueError(f"a pattern has {kind} {value}, which no automaton is made of here")

    def _repeated(
        self, least: int, most: int, items: _Items, rest: _Rest, stop: _Rest, any_case: bool
    ) -> _Rest:
        """stop: what follows where the items could be repeated once more; rest: where not."""
        either = self.languages.either
        if most == _parser.MAXREPEAT:
            loops = self.languages.loop(), self.languages.loop()
            terms = self._before(items, loops, any_case)
            if any(self.languages.begins_with(term, loops) for term in terms):
                raise ValueError(f"a pattern repeats {items} without end, which may be nothing")
            for loop, term in zip(loops, _each(either, stop, terms), strict=True):
                self.languages.close(loop, term)
            rest = loops
        else:
            for _ in range(most - least):
                rest = _each(either, stop, self._before(items, rest, any_case))
        for _ in range(least):
            rest = self._before(items, rest, any_case)
        return rest

    def _character(self, kind: str, value: Any, rest: _Rest, any_case: bool) -> _Rest:
        written = f"{kind} {value} {any_case}"
        if written not in self._sets:
            self._sets[written] = self._alphabet.where(_test(kind, value, any_case, self._alphabet))
        characters, then = self._sets[written], self.languages.then
        term = self.languages.either(
            then(characters & ~self._word, rest[0]), then(characters & self._word, rest[1])
        )
        return term, term


def _each(join: Callable[..., Term], *rests: _Rest) -> _Rest:
    behind_no_word, behind_word = zip(*rests, strict=True)
    return join(*behind_no_word), join(*behind_word)


_CATEGORIES: dict[str, _Test] = {
    "CATEGORY_WORD": lambda character: character.isalnum() or character == "_",
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_DIGIT": str.isdecimal,
}


def _test(kind: str, value: Any, any_case: bool, alphabet: Alphabet) -> _Test:
    """Whether the item stands for a character."""
    if kind == "ANY":
        return lambda character: True
    chosen = value if kind == "IN" else [(kind.removeprefix("NOT_"), value)]
    tests = [_one_of(str(kind), value, any_case, alphabet) for kind, value in chosen if str(kind) != "NEGATE"]
    negated = kind == "NOT_LITERAL" or len(tests) < len(chosen)

    def test(character: str) -> bool:
        forms = {small(character), small(character).upper()} if any_case else {character}
        return negated != any(one(form) for form in forms if len(form) == 1 for one in tests)

    return test


def _one_of(kind: str, value: Any, any_case: bool, alphabet: Alphabet) -> _Test:
    if kind == "CATEGORY":
        category = _CATEGORIES[str(value).replace("NOT_", "")]
        return (lambda character: not category(character)) if "NOT_" in str(value) else category
    first, last = value if kind == "RANGE" else (value, value)
    # An alphabet has the characters that a pattern names, not those between them nor their other case.
    if last > _LAST_OF_ASCII and (kind == "RANGE" or (any_case and chr(last).upper() != chr(last).lower())):
        raise ValueError(f"a pattern has {kind} {value}: ranges and any case are for ASCII only")
    if not alphabet.names(last):
        raise ValueError(f"a pattern has {chr(last)!r} by its number or name: write the character itself")
    return lambda character: first <= ord(character) <= last


_LAST_OF_ASCII = 127
