"""Tables of patterns, compiled: which pattern matches at a place of a text, at a step per character."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation.alphabet import Alphabet
from pipeline.segmentation.characters import Codes
from pipeline.segmentation.compiled import part
from pipeline.segmentation.languages import ANYTHING, NOTHING, Characters, Languages, Term
from pipeline.segmentation.patterns import Patterns


class Automaton(NamedTuple):
    """A deterministic automaton for each of some tables; the patterns of all are numbered through, from 1.

    sorts: of every character of Unicode its sort; first: of each table the first state; following: of a
    state and a sort the next state; found: of a state the pattern that has matched where the text ends
    there, 0 for none; decided: how many states are such that no more characters change it.
    """

    sorts: NDArray[np.uint8]
    first: NDArray[np.uint16]
    following: NDArray[np.uint16]
    found: NDArray[np.uint16]
    decided: int


# What the text may still hold for a pattern to match, of each that may and comes before any that is sure to.
_State = tuple[tuple[int, Term], ...]


def automaton(tables: Sequence[Sequence[str]]) -> Automaton:
    """The automata of these tables. Raises ValueError for syntax that `Patterns` does not know."""
    alphabet = Alphabet(pattern for table in tables for pattern in table)
    reader = Patterns(alphabet)
    terms = enumerate((reader.term(pattern) for table in tables for pattern in table), start=1)
    first = [_state([next(terms) for _ in table]) for table in tables]
    decided = [(), *(((pattern, ANYTHING),) for pattern in range(1, 1 + sum(map(len, tables))))]
    steps = _steps(reader.languages, first, decided)
    numbers = {state: number for number, state in enumerate(steps)}
    following = np.zeros((len(steps), len(alphabet.examples)), dtype=np.uint16)
    sorts: dict[Characters, list[int]] = {}
    for state, of_state in steps.items():
        for characters, then in of_state:
            if characters not in sorts:
                sorts[characters] = [n for n in range(len(alphabet.examples)) if characters >> n & 1]
            following[numbers[state], sorts[characters]] = numbers[then]
    return Automaton(
        alphabet.sorts,
        np.array([numbers[state] for state in first], dtype=np.uint16),
        following,
        np.array([_found(reader.languages, state) for state in steps], dtype=np.uint16),
        len(decided),
    )


def _steps(
    languages: Languages, first: Sequence[_State], decided: Sequence[_State]
) -> dict[_State, list[tuple[Characters, _State]]]:
    """Of every state that can be reached, what follows by which characters; first come those of `decided`."""
    steps: dict[_State, list[tuple[Characters, _State]]] = {state: [] for state in decided}
    waiting = list(first)
    while waiting:
        state = waiting.pop()
        if state in steps:
            continue
        steps[state] = []
        for characters in languages.told_apart(*(term for _, term in state)):
            some = characters.bit_length() - 1
            then = _state([(pattern, languages.after(term, some)) for pattern, term in state])
            steps[state].append((characters, then))
            waiting.append(then)
    return steps


def _state(patterns: Iterable[tuple[int, Term]]) -> _State:
    state: list[tuple[int, Term]] = []
    for pattern, term in patterns:
        if term != NOTHING:
            state.append((pattern, term))
        if term == ANYTHING:
            break
    return tuple(state)


def _found(languages: Languages, state: _State) -> int:
    return next((pattern for pattern, term in state if languages.may_end(term)), 0)


@part
def first_match(automata: Automaton, table: int, codes: Codes, at: int, end: int) -> int:
    """Number of the first pattern of a table that matches at `at`; 0 for none.

    The text is taken to begin at `at` and to end at `end`.
    """
    state = int(automata.first[table])
    while state >= automata.decided and at < end:
        state = int(automata.following[state, automata.sorts[codes[at]]])
        at += 1
    return int(automata.found[state])
