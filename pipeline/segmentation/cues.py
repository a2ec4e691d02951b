"""How well a text could be interrupted at each boundary, judged by rules; no model is asked."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


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


class Rule(NamedTuple):
    name: str
    score: float
    sure: bool
    pattern: str
    """Matched at the start of what the table says that its rules look at."""


SURE, ASK = True, False

_OH = r"(?:(?i:wait|hmm+|okay|ok|alright|oh|ah|but|so(?! far)|and|well|now|no|actually|yes)\b[,.…!\s—-]*+)*+"
_I = r"(?i:let me|let's|let us|i'll|i will|i should|i need to|i have to|we (?:should|need to))"
_DO = rf"{_I}(?: (?:just|also|now|quickly|actually|first|try to|try and))*+ "
_TRY = rf"{_DO}(?:try|think|look|approach|use|consider|find)"
_DIFFERENT = r"(?i:another|different(?:ly)?|alternative(?:ly)?|better|simpler|else|instead)"
_CASE = r"\W*(?:Case|Scenario|Option|Approach|Method) ?(?:\d+|[A-Z])\b"
_NO_OPENING = r"(?!,? (?:far|let|to|now|(?:the|my) (?:final )?answer)\b)"
_ASKS = "What|How|Why|Is|Are|Does|Do|Can|Could|Should|Would"
_CONTENT = r"(?:works|matches|correct|right|valid|impossible|good|fine|consistent|expected)"
_STEP = r"[^A-Za-z]*+(?:(?:At|For|When|If|Iteration|Step|Day|Round) )?(?:[a-z]\w? ?[=:] ?)?-?\d"

# The last character before the boundary, then the last clause: what is announced must follow.
LAST_CHARACTER_VETOES = (
    Rule("colon", 0, SURE, r":"),
    Rule("operator", 0, SURE, r"[-=+−×·/<>≤≥≈→⇒,;(&\\]"),
)
ENDING_VETOES = (
    Rule("announcement", 0, SURE, rf"{_OH}{_DO}[^?]*$"),
    Rule("assumption", 0, SURE, rf"{_OH}(?i:suppose|assume|say|let (?!me|us)|consider|given)\b"),
    Rule("doubt_raised", 0, SURE, r"(?i:but )?(?i:wait|hold on|oh)\b(?:.{0,20}\?|\W*)$"),
)

# The begin of the sentence after: what continues the sentence before.
BEGINNING_VETOES = (
    Rule("relation", 0, SURE, r"[=≈≤≥⇒→∴]|\\(?:approx|leq?|geq?|implies|Rightarrow)\b"),
    Rule("small_letter", 0.5, ASK, r"[a-z]"),
    Rule("continuation", 0, SURE, r"(?:And|Or|Nor|Which|Where|Because|Then|Thus|Hence)\b"),
    Rule("consequence", 0.5, SURE, rf"(?:So|Therefore|Yes|Yeah|Right|Correct)\b{_NO_OPENING}"),
    Rule("pronoun", 0, SURE, r"(?:This|That|These|Those|It|They|He|She|Its|Their|Both)\b"),
)

# The begins of both: two steps of one execution trace, "i=3: …" and "i=4: …", or two guesses.
PAIR_VETOES = (
    Rule("execution_step", 0, SURE, _STEP),
    Rule("another_case", 1, ASK, _CASE),
    Rule("another_guess", 1, ASK, rf"{_OH}(?i:alternatively|maybe|perhaps|or|could it be)\b"),
)

# The begin of the sentence after, interjections left out: an aim that it states, the clearest first.
AIMS = (
    Rule("final_answer", 3, SURE, r"(?i:final answer|in conclusion|in summary)"),
    Rule("restatement", 2.5, SURE, rf"(?:{_DO})?(?i:(?:to )?(?:recap|summarize)|so far\b)"),
    Rule("restart", 2.5, SURE, rf"{_DO}(?i:start (?:over|again)|try again|go back|re\w*think)"),
    Rule("verification", 2, SURE, rf"(?:{_DO}|To )(?i:double|verify|check|confirm|re-?check)"),
    Rule("new_approach", 2.5, SURE, r"(?i:alternatively|another (?!one|thing))\b"),
    Rule("new_approach", 2.5, SURE, rf"(?:{_TRY}|Maybe|Perhaps) .{{0,30}}\b{_DIFFERENT}\b"),
    Rule("plan", 2, ASK, rf"{_I}\b"),
)

# The begin of the sentence after: what else opens something new, the clearest first.
OPENINGS = (
    Rule("heading", 3, SURE, r"#{1,6} |\*\*[^*\n]{1,80}\*\*\s*\n"),
    Rule("check", 2, ASK, r"(?i:(?:quick |sanity |double[ -]|cross[ -])?(?:check|verify|verification)\b)"),
    Rule(
        "answer", 2, ASK, r"(?i:(?:so|thus|therefore|hence),? )?(?i:(?:the |my )?answer\b.{0,20}(?: is\b|:))"
    ),
    Rule(
        "work_begins", 2, ASK, r"(?i:(?:the |final )*(?:code|implementation|algorithm|table|proof|solution):)"
    ),
    Rule("new_question", 2, ASK, rf"(?:{_ASKS})\b(?! (?:that|this|it)\b)[^.!?\n]{{8,}}\?"),
    Rule("case_split", 2, SURE, _CASE),
    Rule("step_heading", 2, ASK, r"\W*(?i:step|part|phase|stage) ?\d"),
    Rule("next_stage", 2, SURE, r"(?i:(?:(?:okay|alright|now),? )?(?:moving on|finally,))"),
    Rule("stage", 2, ASK, r"(?i:(?:so )?now|next|first|second|third|lastly)\b"),
    Rule("definition", 1.5, ASK, r"(?i:let (?!me|us)|define|denote)\b"),
    Rule("doubt", 1.5, ASK, r"(?i:but wait|wait|hold on|hmm+|actually|however|oh|no|okay|alright|ok)\b"),
    Rule("parallel", 1.5, ASK, r"(?i:similarly|likewise|again|same|also)\b"),
    Rule("objection", 1, ASK, r"But\b"),
    Rule("list_item", 0.5, ASK, r"(?:[-*•+]|\(?\w{1,3}[.):])\s"),
)

# How the last clause before the boundary ends, or else begins.
ENDINGS = (
    Rule("question", 0.5, ASK, r".*\?$"),
    Rule("no_full_stop", 0.5, ASK, r".*[^.!…。✓\"'’”)\]*`}]$"),
    Rule("result_reached", 1.5, ASK, r".*\b(?:(?:answer|total|result|sum) is|=) ?[^ ]*\d[^ ]*$"),
    Rule("result_reached", 1.5, ASK, rf".*\b{_CONTENT}\W*$|.*✓\W*$"),
)
CONCLUSIONS = (Rule("result_reached", 1.5, ASK, r"(?i:so|therefore|thus|hence)\b"),)


def _table(rules: Sequence[Rule]) -> tuple[re.Pattern[str], Sequence[Rule]]:
    """All rules of a table as one pattern, whose group number tells which of them holds."""
    return re.compile("|".join(f"({rule.pattern})" for rule in rules), re.DOTALL), rules


def _first(table: tuple[re.Pattern[str], Sequence[Rule]], text: str, start: int = 0) -> Rule | None:
    pattern, rules = table
    found = pattern.match(text, start)
    return rules[found.lastindex - 1] if found and found.lastindex else None


_INTERJECTIONS = re.compile(_OH)
_LAST_CHARACTER_VETOES = _table(LAST_CHARACTER_VETOES)
_ENDING_VETOES = _table(ENDING_VETOES)
_BEGINNING_VETOES = _table(BEGINNING_VETOES)
_PAIR_VETOES = _table(PAIR_VETOES)
_AIMS = _table(AIMS)
_OPENINGS = _table(OPENINGS)
_ENDINGS = _table(ENDINGS)
_CONCLUSIONS = _table(CONCLUSIONS)

_READ = 200
_READ_OF_END = 30


def _cue(before: str, after: str) -> Cue:
    content = before.rstrip()
    paragraph_ends = "\n" in before[len(content) :]
    clause, begin = _last_clause(content), after[:_READ]
    veto = (
        _first(_LAST_CHARACTER_VETOES, content[-1:])
        or _first(_ENDING_VETOES, clause)
        or _pair_veto(before[:_READ], begin)
        or _first(_BEGINNING_VETOES, begin)
    )
    if veto:
        return Cue(veto.score, veto.name, veto.sure)
    opening = _opening(begin)
    if not paragraph_ends and (opening is None or opening.score < 2):
        return Cue(0.5, "same_paragraph", SURE)
    ending = _first(_ENDINGS, clause[-_READ_OF_END:]) or _first(_CONCLUSIONS, clause)
    if opening:
        result = ending is not None and ending.name == "result_reached"
        score = opening.score + (0.5 if result else 0) - (0 if paragraph_ends else 1.5)
        return Cue(min(3, score), opening.name, opening.sure and paragraph_ends)
    if ending:
        return Cue(ending.score, ending.name, ending.sure)
    return Cue(1.5, "paragraph", ASK)


def _opening(begin: str) -> Rule | None:
    interjections = _INTERJECTIONS.match(begin)
    return _first(_AIMS, begin, interjections.end() if interjections else 0) or _first(_OPENINGS, begin)


def _pair_veto(before: str, after: str) -> Rule | None:
    rule = _first(_PAIR_VETOES, after)
    return rule if rule and rule is _first(_PAIR_VETOES, before) else None


def _last_clause(content: str) -> str:
    tail = content[-_READ:]
    end = len(tail) - 1
    start = max(
        tail.rfind(". ", 0, end), tail.rfind("? ", 0, end), tail.rfind("! ", 0, end), tail.rfind("\n", 0, end)
    )
    return tail[start + 1 :].lstrip()
