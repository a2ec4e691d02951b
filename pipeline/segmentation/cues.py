"""How well a text could be interrupted at each boundary, judged by rules; no model is asked."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from pipeline.segmentation import rules
from pipeline.segmentation.rule_tables import Behind, Rule, deciding


class Cue(NamedTuple):
    """What the rules say of one boundary."""

    score: float
    """0 (in the middle of a thought) to 3 (a chapter ends)."""
    rule: str
    """Name of the rule that decided, to be read by people."""
    sure: bool
    """Whether a model need not be asked."""


def score_boundaries(sentences: Sequence[str]) -> list[Cue]:
    """One cue per boundary, n−1 for n sentences, in order.

    sentences: as `sentences.split` cuts them, with the white space behind each. The first veto that
    holds decides. Else the first aim or other opening that holds: half a point more where the clause
    before reached a result, one and a half less (and never sure) in the middle of a paragraph. Else
    what the clause before is, a paragraph's end, or nothing. Linear: at most 200 characters of each
    side are read.
    """
    return [_cue(before, after) for before, after in pairwise(sentences)]


class Begin(NamedTuple):
    """What a rule about the begin of a sentence decides, by what comes before it.

    Each a pair: without and with a result that the clause before reached.
    """

    within: tuple[Cue, Cue]
    """Where it goes on in the same paragraph."""
    paragraph: tuple[Cue, Cue]
    """Where it begins a paragraph."""


def _cue_of(rule: Rule) -> Cue:
    return Cue(rule.score, rule.name, rule.sure)


def _opening(rule: Rule) -> Begin:
    cue, best = _cue_of(rule), Cue(min(3, rule.score + 0.5), rule.name, rule.sure)
    if rule in rules.BEGINNING_VETOES:
        return Begin((cue, cue), (cue, cue))
    if rule.score < 2:
        return Begin((_SAME_PARAGRAPH, _SAME_PARAGRAPH), (cue, best))
    within, better = (Cue(rule.score + more, rule.name, rules.ASK) for more in (-1.5, -1))
    return Begin((within, better), (cue, best))


_SAME_PARAGRAPH = Cue(0.5, "same_paragraph", rules.SURE)
_PARAGRAPH = Cue(1.5, "paragraph", rules.ASK)
_last_character_veto = deciding(rules.LAST_CHARACTER_VETOES, _cue_of)
_last_character = deciding(rules.LAST_CHARACTERS, _cue_of)
_clause_veto = deciding((Behind(rules.INTERJECTIONS, rules.ANNOUNCEMENTS), *rules.DOUBTS), _cue_of)
_step_veto = deciding((*rules.STEPS, Behind(rules.INTERJECTIONS, rules.GUESSES)), _cue_of)
_AIMS = Behind(rules.INTERJECTIONS, (Behind(rules.WHAT_I_DO, rules.INTENTS), *rules.AIMS))
_opening_of = deciding((*rules.BEGINNING_VETOES, _AIMS, *rules.OPENINGS), _opening)
_conclusion = deciding(rules.CONCLUSIONS, _cue_of)
_ending = deciding(rules.ENDINGS, _cue_of)

_READ = 200
_READ_OF_END = 30


def _cue(before: str, after: str) -> Cue:
    content = before.rstrip()
    veto, ending = _by_last_character(content[-1:])
    if veto:
        return veto
    clause, begin = _last_clause(content), after[:_READ]
    veto = _clause_veto(clause) or _pair_veto(before, begin)
    if veto:
        return veto
    opening = _opening_of(begin)
    paragraph_ends = "\n" in before[len(content) :]
    if opening is None:
        return ending or _result(clause) or _PARAGRAPH if paragraph_ends else _SAME_PARAGRAPH
    plain, after_result = opening.paragraph if paragraph_ends else opening.within
    if plain is after_result or ending:
        return plain
    return after_result if _result(clause) else plain


@cache
def _by_last_character(character: str) -> tuple[Cue | None, Cue | None]:
    """The veto of the last character before a boundary, and how it says that the clause ends."""
    return _last_character_veto(character), _last_character(character)


def _result(clause: str) -> Cue | None:
    return _conclusion(clause) or _ending(clause[-_READ_OF_END:])


def _pair_veto(before: str, after: str) -> Cue | None:
    cue = _step_veto(after)
    return cue if cue and cue is _step_veto(before[:_READ]) else None


def _last_clause(content: str) -> str:
    clause = content[-_READ:].rpartition("\n")[2].rpartition(". ")[2]
    if "?" in clause:
        clause = clause.rpartition("? ")[2]
    if "!" in clause:
        clause = clause.rpartition("! ")[2]
    return clause.lstrip()
