"""How well a text could be interrupted at each boundary, judged by rules; no model is asked."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation.score import rules
from pipeline.segmentation.score.matching import first_match
from pipeline.segmentation.score.rules import Rule


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

    ends: where the sentences end, as `split` gives them; the white space between two is the first one's.
    The first veto that holds decides. Else the first aim or other opening that holds: half a point more
    where the clause before reached a result, one and a half less (and never sure) in the middle of a
    paragraph. Else what the clause before is, a paragraph's end, or nothing. Where both sentences are larger
    than any that prose makes, no less than a point: they are parts of a program, a table or a line of data,
    which would else be one block of any size. Linear: at most 200 characters of each side are read.
    """
    sentences = [text[start:end] for start, end in pairwise((0, *ends))]
    cues = [
        _of_parts(_cue(before, after[:_READ]), len(before), len(after))
        for before, after in pairwise(sentences)
    ]
    scores, names, sure = zip(*cues, strict=True) if cues else ((), (), ())
    return Cues(np.array(scores, float), np.array(names, object), np.array(sure, bool))


def _of_parts(cue: Cue, before: int, after: int) -> Cue:
    """The cue; at least that of a cut within something large, by the characters of the two sentences."""
    return _LARGE if min(before, after) >= _LARGEST_OF_PROSE and cue.score < _LARGE.score else cue


def _cue(before: str, begin: str) -> Cue:
    """before: the sentence before the boundary; begin: the first characters of the one after."""
    content = before.rstrip()
    last = content[-1:]
    clause = _last_clause(content)
    veto = _last_character_veto(last) or _clause_veto(clause)
    if not veto:
        step = _step(begin)
        veto = step if step and step is _step(before[:_READ]) else None
    if veto:
        return _of(veto)
    opening = _beginning(begin)
    if opening and _continues(opening):
        return _of(opening)
    ends_paragraph = "\n" in before[len(content) :]
    if not (opening or ends_paragraph):
        return _SAME_PARAGRAPH
    ending = _ending(last)
    result = None if ending else _result(clause)
    if not opening:
        rule = ending or result
        return _of(rule) if rule else _PARAGRAPH
    return _of_opening(opening, ends_paragraph, result is not None)


@cache
def _of_opening(rule: Rule, begins_paragraph: bool, after_result: bool) -> Cue:
    better = 0.5 if after_result else 0
    if begins_paragraph:
        return Cue(min(3.0, rule.score + better), rule.name, rule.sure)
    if rule.score < 2:
        return _SAME_PARAGRAPH
    return Cue(rule.score - 1.5 + better, rule.name, rules.ASK)


def _result(clause: str) -> Rule | None:
    return _concluded(clause) or _reached(clause[-_READ_OF_END:])


def _last_clause(content: str) -> str:
    clause = content[-_READ:].rpartition("\n")[2].rpartition(". ")[2]
    if "?" in clause:
        clause = clause.rpartition("? ")[2]
    if "!" in clause:
        clause = clause.rpartition("! ")[2]
    return clause.lstrip()


@cache
def _of(rule: Rule) -> Cue:
    return Cue(rule.score, rule.name, rule.sure)


_SAME_PARAGRAPH = Cue(0.5, "same_paragraph", rules.SURE)
_LARGE = Cue(1.0, "within_something_large", rules.SURE)
_PARAGRAPH = Cue(1.5, "paragraph", rules.ASK)
_last_character_veto = cache(first_match(rules.LAST_CHARACTER_VETOES))
_clause_veto = first_match(rules.CLAUSE_VETOES)
_step = first_match(rules.STEP_VETOES)
_beginning = first_match((*rules.BEGINNING_VETOES, *rules.AIMS, *rules.OPENINGS))
_continues = frozenset(rules.BEGINNING_VETOES).__contains__
_ending = cache(first_match(rules.LAST_CHARACTERS))
_concluded = first_match(rules.CONCLUSIONS)
_reached = first_match(rules.ENDINGS)
# Characters: as far as `split` joins related pieces.
_LARGEST_OF_PROSE = 900
# Characters to either side.
_READ = 200
_READ_OF_END = 30
