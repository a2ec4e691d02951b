"""What a text may still hold after what was read of it, as terms with derivatives.

The rest of a text is described by a term: a character of a set and what may follow it, terms joined by
and, or and not, or a loop. Reading a character takes a term to another one, its derivative (J. A.
Brzozowski, "Derivatives of Regular Expressions", J. ACM 11, 1964). Terms that are written the same are one
term, and so a pattern has few of them: they are the states of its automaton.
"""

from collections.abc import Iterable
from dataclasses import dataclass

Term = int
"""A term's number."""
Characters = int
"""A set of characters: bit n stands for the n-th of an alphabet."""

NOTHING: Term = 0
"""No text at all."""
ANYTHING: Term = 1
END: Term = 2
"""The text ends here."""


@dataclass(frozen=True)
class _Then:
    """A character of a set, then what a term describes."""

    first: Characters
    then: Term


@dataclass(frozen=True)
class _Either:
    terms: frozenset[Term]


@dataclass(frozen=True)
class _All:
    terms: frozenset[Term]


@dataclass(frozen=True)
class _Not:
    term: Term


@dataclass(frozen=True)
class _Loop:
    """A term that is part of itself, and so written only after it has its number."""

    number: int


_Written = str | _Then | _Either | _All | _Not | _Loop


class Languages:
    """Terms over one alphabet."""

    def __init__(self, characters: int) -> None:
        """characters: how many the alphabet has."""
        self._every: Characters = (1 << characters) - 1
        self._written: list[_Written] = ["nothing", "anything", "end"]
        self._numbers: dict[_Written, Term] = {}
        self._loops: dict[Term, Term] = {}
        self._derivatives: dict[tuple[Term, int], Term] = {}
        self._parts: dict[Term, frozenset[Characters]] = {}

    def then(self, first: Characters, term: Term) -> Term:
        """A character of `first`, then `term`."""
        return self._number(_Then(first, term)) if first and term != NOTHING else NOTHING

    def either(self, *terms: Term) -> Term:
        parts = self._flat(terms, _Either) - {NOTHING}
        if ANYTHING in parts or self._contradict(parts):
            return ANYTHING
        firsts: dict[Term, Characters] = {}
        for part in parts:
            written = self._written[part]
            if isinstance(written, _Then):
                firsts[written.then] = firsts.get(written.then, 0) | written.first
        others = {part for part in parts if not isinstance(self._written[part], _Then)}
        parts = others | {self.then(first, term) for term, first in firsts.items()}
        if len(parts) < 2:
            return min(parts, default=NOTHING)
        return self._number(_Either(frozenset(parts)))

    def all(self, *terms: Term) -> Term:
        parts = self._flat(terms, _All) - {ANYTHING}
        if NOTHING in parts or self._contradict(parts):
            return NOTHING
        if len(parts) < 2:
            return min(parts, default=ANYTHING)
        return self._number(_All(frozenset(parts)))

    def no(self, term: Term) -> Term:
        """Every text but those of `term`."""
        if term in (NOTHING, ANYTHING):
            return ANYTHING if term == NOTHING else NOTHING
        written = self._written[term]
        return written.term if isinstance(written, _Not) else self._number(_Not(term))

    def loop(self) -> Term:
        """A term to be written with `close`, in which it may stand behind a character."""
        return self._number(_Loop(len(self._written)))

    def close(self, loop: Term, term: Term) -> None:
        self._loops[loop] = term

    def begins_with(self, term: Term, loops: Iterable[Term]) -> bool:
        """Whether one of these loops, not yet closed, is met before a character is read."""
        match self._written[term]:
            case _Either(terms) | _All(terms):
                return any(self.begins_with(part, loops) for part in terms)
            case _Not(of):
                return self.begins_with(of, loops)
            case _Loop() if term not in loops:
                return self.begins_with(self._loops[term], loops)
        return term in loops

    def may_end(self, term: Term) -> bool:
        """Whether the text may end where `term` is what it may still hold."""
        match self._written[term]:
            case _Either(terms):
                return any(map(self.may_end, terms))
            case _All(terms):
                return all(map(self.may_end, terms))
            case _Not(of):
                return not self.may_end(of)
            case _Loop():
                return self.may_end(self._loops[term])
        return term in (ANYTHING, END)

    def after(self, term: Term, character: int) -> Term:
        """The derivative: what the text may hold behind the n-th character of the alphabet."""
        known = self._derivatives.get((term, character))
        if known is None:
            known = self._derivatives[term, character] = self._after(term, character)
        return known

    def told_apart(self, *terms: Term) -> frozenset[Characters]:
        """The alphabet in parts; all characters of one have the same derivative of every term."""
        parts = frozenset({self._every})
        for term in terms:
            if term not in self._parts:
                self._parts[term] = self._parts_of_alphabet(term)
            of_term = self._parts[term]
            if len(of_term) > 1:
                parts = frozenset(one & other for one in parts for other in of_term if one & other)
        return parts

    def _after(self, term: Term, character: int) -> Term:
        match self._written[term]:
            case _Then(first, then):
                return then if first >> character & 1 else NOTHING
            case _Either(terms):
                return self.either(*(self.after(part, character) for part in terms))
            case _All(terms):
                return self.all(*(self.after(part, character) for part in terms))
            case _Not(of):
                return self.no(self.after(of, character))
            case _Loop():
                return self.after(self._loops[term], character)
        return ANYTHING if term == ANYTHING else NOTHING

    def _parts_of_alphabet(self, term: Term) -> frozenset[Characters]:
        match self._written[term]:
            case _Then(first):
                return frozenset({first, self._every & ~first} - {0})
            case _Either(terms) | _All(terms):
                return self.told_apart(*terms)
            case _Not(of):
                return self.told_apart(of)
            case _Loop():
                return self.told_apart(self._loops[term])
        return frozenset({self._every})

    def _flat(self, terms: Iterable[Term], kind: type[_Either | _All]) -> set[Term]:
        """The terms, those that are joined in this way themselves taken apart."""
        parts: set[Term] = set()
        for term in terms:
            written = self._written[term]
            parts |= written.terms if isinstance(written, kind) else {term}
        return parts

    def _contradict(self, parts: set[Term]) -> bool:
        return any(
            isinstance(written, _Not) and written.term in parts
            for written in map(self._written.__getitem__, parts)
        )

    def _number(self, written: _Written) -> Term:
        if written not in self._numbers:
            self._numbers[written] = len(self._written)
            self._written.append(written)
        return self._numbers[written]
