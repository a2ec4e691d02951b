"""How well a text could be interrupted at each boundary, judged by rules; no model is asked."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation import boundaries, rules
from pipeline.segmentation.automaton import Automaton, automaton
from pipeline.segmentation.boundaries import AFTER_RESULT, PARAGRAPH_ENDS, Judged, verdicts
from pipeline.segmentation.characters import character_sets, codes_of
from pipeline.segmentation.rules import Rule


class Cue(NamedTuple):
    """What the rules say of one boundary."""

    score: float
    """0 (in the middle of a thought) to 3 (a chapter ends)."""
    rule: str
    """Name of the rule that decided, to be read by people."""
    sure: bool
    """Whether a model need not be asked."""


class Cues(NamedTuple):
    """What they say of all boundaries of a text, a column for each field of a `Cue`."""

    scores: NDArray[np.float64]
    rules: NDArray[np.object_]
    sure: NDArray[np.bool_]


def score_boundaries(text: str, ends: Sequence[int]) -> Cues:
    """A cue for each boundary, n-1 for n sentences, in order.

    ends: where the sentences end, as `sentences.split` gives them; the white space between two is the
    first one's. The first veto that holds decides. Else the first aim or other opening that holds: half a
    point more where the clause before reached a result, one and a half less (and never sure) in the middle
    of a paragraph. Else what the clause before is, a paragraph's end, or nothing. Linear: at most 200
    characters of each side are read.
    """
    judged = Judged(codes_of(text), character_sets(), _automata())
    found = verdicts(judged, np.asarray(ends, np.int64))
    scores, names, sure = _cues()
    return Cues(scores[found], names[found], sure[found])


TABLES = {
    boundaries.LAST_CHARACTER_VETOES: rules.LAST_CHARACTER_VETOES,
    boundaries.CLAUSE_VETOES: rules.CLAUSE_VETOES,
    boundaries.STEP_VETOES: rules.STEP_VETOES,
    boundaries.BEGINNING_VETOES: rules.BEGINNING_VETOES,
    boundaries.AIMS: rules.AIMS,
    boundaries.OPENINGS: rules.OPENINGS,
    boundaries.LAST_CHARACTERS: rules.LAST_CHARACTERS,
    boundaries.CONCLUSIONS: rules.CONCLUSIONS,
    boundaries.ENDINGS: rules.ENDINGS,
}


@cache
def _automata() -> Automaton:
    return automaton([[rule.pattern for rule in table] for table in TABLES.values()])


@cache
def _cues() -> Cues:
    """The cue of each verdict."""
    cues = [_SAME_PARAGRAPH, _SAME_PARAGRAPH, _PARAGRAPH, _PARAGRAPH]
    for table, of_table in TABLES.items():
        opens = table in (boundaries.AIMS, boundaries.OPENINGS)
        for rule in of_table:
            plain = Cue(float(rule.score), rule.name, rule.sure)
            cues += [_opening(rule, place) if opens else plain for place in range(4)]
    scores, names, sure = zip(*cues, strict=True)
    return Cues(np.array(scores), np.array(names, object), np.array(sure))


def _opening(rule: Rule, place: int) -> Cue:
    better = 0.5 if place & AFTER_RESULT else 0
    if place & PARAGRAPH_ENDS:
        return Cue(min(3.0, rule.score + better), rule.name, rule.sure)
    if rule.score < 2:
        return _SAME_PARAGRAPH
    return Cue(rule.score - 1.5 + better, rule.name, rules.ASK)


_SAME_PARAGRAPH = Cue(0.5, "same_paragraph", rules.SURE)
_PARAGRAPH = Cue(1.5, "paragraph", rules.ASK)
