"""Which rule decides over each boundary of a text, in compiled code."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation.automaton import Automaton, first_match
from pipeline.segmentation.characters import SPACE, Codes
from pipeline.segmentation.compiled import compiled, part
from pipeline.segmentation.limits import Ints

# The tables of rules by number.
(
    LAST_CHARACTER_VETOES,
    CLAUSE_VETOES,
    STEP_VETOES,
    BEGINNING_VETOES,
    AIMS,
    OPENINGS,
    LAST_CHARACTERS,
    CONCLUSIONS,
    ENDINGS,
) = range(9)


class Judged(NamedTuple):
    """A text, and what its boundaries are judged by.

    codes: its characters; sets: `character_sets()`; automata: those of the tables of rules.
    """

    codes: Codes
    sets: NDArray[np.uint32]
    automata: Automaton


# A verdict is four times the number of the rule that decides, 0 for none, and one or both of these.
PARAGRAPH_ENDS = 2
AFTER_RESULT = 1
"""The clause before an opening reached a result."""


@compiled
def verdicts(judged: Judged, ends: Ints) -> Ints:
    """One verdict for each of the n-1 boundaries. ends: where the text's n sentences end."""
    found = np.empty(max(0, len(ends) - 1), dtype=np.int64)
    start = 0
    for boundary in range(len(found)):
        found[boundary] = _verdict(judged, start, ends[boundary], ends[boundary + 1])
        start = ends[boundary]
    return found


@part
def _verdict(judged: Judged, start: int, place: int, end: int) -> int:
    """Of the boundary at `place`; the sentence before it begins at `start`, the one after ends at `end`."""
    content_end = _content_end(judged, start, place)
    last = max(start, content_end - 1)
    clause = _last_clause(judged, start, content_end)
    begin_end = min(end, place + _READ)
    veto = _match(judged, LAST_CHARACTER_VETOES, last, content_end)
    if not veto:
        veto = _match(judged, CLAUSE_VETOES, clause, content_end)
    if not veto:
        step = _match(judged, STEP_VETOES, place, begin_end)
        if step and step == _match(judged, STEP_VETOES, start, min(place, start + _READ)):
            veto = step
    if not veto:
        veto = _match(judged, BEGINNING_VETOES, place, begin_end)
    if veto:
        return 4 * veto
    opening = _match(judged, AIMS, place, begin_end)
    if not opening:
        opening = _match(judged, OPENINGS, place, begin_end)
    paragraph = PARAGRAPH_ENDS if _holds_newline(judged.codes, content_end, place) else 0
    if not (opening or paragraph):
        return 0
    ending = _match(judged, LAST_CHARACTERS, last, content_end)
    result = 0 if ending else _result(judged, clause, content_end)
    if not opening:
        return 4 * max(ending, result) + paragraph
    return 4 * opening + paragraph + (AFTER_RESULT if result else 0)


@part
def _result(judged: Judged, clause: int, end: int) -> int:
    result = _match(judged, CONCLUSIONS, clause, end)
    return result if result else _match(judged, ENDINGS, max(clause, end - _READ_OF_END), end)


@part
def _match(judged: Judged, table: int, at: int, end: int) -> int:
    """Number of the first rule of a table that matches what stands from `at` to `end`; 0 for none."""
    return first_match(judged.automata, table, judged.codes, at, end)


@part
def _is_space(judged: Judged, at: int) -> bool:
    return bool(judged.sets[judged.codes[at]] & SPACE)


@part
def _content_end(judged: Judged, start: int, end: int) -> int:
    """Where the white space before `end` begins."""
    while end > start and _is_space(judged, end - 1):
        end -= 1
    return end


@part
def _last_clause(judged: Judged, start: int, end: int) -> int:
    """Where the last clause before `end` begins."""
    at, first = end, max(start, end - _READ)
    while at > first and not _ends_clause(judged.codes, first, at):
        at -= 1
    while at < end and _is_space(judged, at):
        at += 1
    return at


@part
def _ends_clause(codes: Codes, first: int, at: int) -> bool:
    """Whether a newline, or a full stop and a blank, stands between `first` and `at`, right before `at`."""
    if codes[at - 1] == _NEWLINE:
        return True
    if codes[at - 1] != _BLANK or at - 1 == first:
        return False
    stop = codes[at - 2]
    return bool(stop in (_FULL_STOP, _QUESTION_MARK, _EXCLAMATION_MARK))


@part
def _holds_newline(codes: Codes, at: int, end: int) -> bool:
    while at < end and codes[at] != _NEWLINE:
        at += 1
    return at < end


_READ = 200
_READ_OF_END = 30
_FULL_STOP, _QUESTION_MARK, _EXCLAMATION_MARK, _BLANK, _NEWLINE = (ord(sign) for sign in ".?! \n")
