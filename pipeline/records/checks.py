"""Checks of one memento against its block: what the model hears about, and what keeps a memento out."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from pipeline.records.boxed import answers_not_in, boxed_answers
from pipeline.records.stated_numbers import unsupported_numbers
from schemas.openmementos import special_token_in


class Severity(StrEnum):
    """What a finding leads to."""

    REJECT = "reject"
    """The memento is not used."""
    FEEDBACK = "feedback"
    """The model is told, and the finding counts in the report."""
    NOTE = "note"
    """The finding counts in the report."""


@dataclass(frozen=True)
class Finding:
    """A check that a memento does not pass; `detail` is a sentence that the model can act on."""

    check: str
    severity: Severity
    detail: str


@dataclass(frozen=True)
class Case:
    """A memento with what it must be true to. Sizes in tokens."""

    memento: str
    block: str
    problem: str
    memento_tokens: int
    block_tokens: int


@dataclass(frozen=True)
class Check:
    """One named check; `finds` gives a sentence for each fault."""

    name: str
    severity: Severity
    finds: Callable[[Case], list[str]]


def check_memento(
    memento: str, block: str, problem: str, *, memento_tokens: int, block_tokens: int
) -> list[Finding]:
    """What the checks of `MEMENTO_CHECKS` find, in their order; an empty list for a faultless memento.

    memento_tokens, block_tokens: sizes by the vocabulary of the build. An empty memento has that one finding.
    """
    case = Case(memento, block, problem, memento_tokens, block_tokens)
    if not memento.strip():
        return [Finding("empty", Severity.REJECT, "the memento is empty")]
    return [
        Finding(check.name, check.severity, detail)
        for check in MEMENTO_CHECKS
        for detail in check.finds(case)
    ]


def passes(score: int | None, checks: Iterable[str], threshold: int) -> bool:
    """Whether a memento needs no further round: its judge gave `threshold` points or more, and it is clean.

    score: points of 10; None where it was not judged. checks: names of those that found something; notes
    among them do not count.
    """
    return score is not None and score >= threshold and _NOTES.issuperset(checks)


def _longer_than_block(case: Case) -> list[str]:
    if case.memento_tokens < case.block_tokens:
        return []
    return [
        f"the memento has {case.memento_tokens} tokens and the block only {case.block_tokens}: "
        "it must be much shorter than the block"
    ]


def _special_token(case: Case) -> list[str]:
    token = special_token_in(case.memento)
    return [f"the special token {token} must not be written"] if token else []


def _number_not_in_block(case: Case) -> list[str]:
    missing = unsupported_numbers(case.memento, case.block, case.problem)
    if not missing:
        return []
    shown = ", ".join(missing[:_SHOWN]) + (" and others" if len(missing) > _SHOWN else "")
    subject = f"the number {shown} stands" if len(missing) == 1 else f"the numbers {shown} stand"
    return [f"{subject} neither in the block nor in the problem"]


def _boxed_not_in_block(case: Case) -> list[str]:
    answers = list(dict.fromkeys(boxed_answers(case.memento)))[:_MOST_ANSWERS]
    if not answers:
        return []
    return [
        f"the answer \\boxed{{{answer[:_LONGEST_SHOWN]}}} stands neither in the block nor in the problem"
        for answer in answers_not_in(answers, case.block, case.problem)
    ]


def _answer_not_in_memento(case: Case) -> list[str]:
    answers = [answer for answer in boxed_answers(case.block) if not _PLACEHOLDER.fullmatch(answer)]
    return [
        f"the block's answer \\boxed{{{answer[:_LONGEST_SHOWN]}}} is missing from the memento"
        for answer in answers_not_in(answers[-1:], case.memento)
    ]


def _heading(case: Case) -> list[str]:
    text = _FENCED.sub("", case.memento)
    return [
        f"write plain text without the heading {line.strip()[:60]!r}"
        for line in _HEADING.findall(text)
        if line not in case.block
    ][:1]


def _markup(case: Case) -> list[str]:
    text = _FENCED.sub("", case.memento)
    # What the block itself has is copied, as it should be.
    lists, others = (
        [line.strip() for line in pattern.findall(text) if line.strip() not in case.block]
        for pattern in (_ITEM, _TABLE_OR_HTML)
    )
    found = others + (lists if len(lists) > 1 else [])
    return [f"write plain sentences instead of a list, a table or HTML ({found[0][:60]!r})"] if found else []


def _about_the_text(case: Case) -> list[str]:
    for found in _ABOUT.finditer(case.memento):
        # What the block itself speaks of ("this segment AB", "the model") is its subject.
        noun = found.group().split()[-1].lower()
        if noun not in case.block.lower() and noun not in case.problem.lower():
            return [f"state the findings themselves instead of writing about the text ({found.group()!r})"]
    if opening := _OPENING.match(case.memento):
        return [f"begin with the result instead of {opening.group().strip()[:60]!r}"]
    return []


def _planning(case: Case) -> list[str]:
    found = _PLAN.search(case.memento)
    return [f"state what is established instead of planning ({found.group()!r})"] if found else []


MEMENTO_CHECKS = (
    Check("longer_than_block", Severity.REJECT, _longer_than_block),
    Check("special_token", Severity.REJECT, _special_token),
    Check("number_not_in_block", Severity.FEEDBACK, _number_not_in_block),
    Check("boxed_not_in_block", Severity.FEEDBACK, _boxed_not_in_block),
    Check("answer_not_in_memento", Severity.FEEDBACK, _answer_not_in_memento),
    Check("heading", Severity.FEEDBACK, _heading),
    Check("about_the_text", Severity.FEEDBACK, _about_the_text),
    Check("planning", Severity.NOTE, _planning),
    Check("markup", Severity.NOTE, _markup),
)
_NOTES = frozenset(check.name for check in MEMENTO_CHECKS if check.severity is Severity.NOTE)

_SHOWN = 5
_LONGEST_SHOWN = 200
_MOST_ANSWERS = 20
_PLACEHOLDER = re.compile(
    r"(?i)[.…_?\s]*|(?:your |the |final )*(?:answer|result|solution)(?: here)?|\\ldots|\\dots"
)
_FENCED = re.compile(r"(?s)```.*?(?:```|\Z)")
_HEADING = re.compile(r"(?m)^ {0,3}(?:#{1,6} +\S.*|\*\*[^*\n]+\*\*:?[ \t]*)$")
_ITEM = re.compile(r"(?m)^[ \t]*(?:[-*+•]|[0-9]{1,2}[.)])[ \t]+\S.*$")
# Tags without attributes that nobody means as mathematics: a<b>c is a comparison.
_TABLE_OR_HTML = re.compile(
    r"(?m)^[ \t]*\|.*\|[ \t]*$|</?(?:br|em|strong|[uo]l|li|div|span|table|tr|t[dh]|su[bp])[ ]?/?>"
)
_TEXT = r"(?:block|memento|summary|reasoning|passage|excerpt|section|segment|text|trace)"
_ABOUT = re.compile(
    rf"(?i)\b(?:(?:this|the (?:above|current|given|preceding|previous|provided)) {_TEXT}"
    r"|the (?:block|excerpt|memento|passage|reasoner|reasoning|reasoning trace|thought process|trace)"
    r"|the (?:author|writer|assistant|user|model)(?= (?:\w+ly )?(?:\w+s|then|first)\b))\b"
)
_OPENING = re.compile(
    r"(?i)\s*(?:(?:sure|certainly|of course|okay)[,!. ]|here(?:'s| is| are)\b|"
    r"(?:the |a )?(?:\w+ )?(?:memento|summary)\s*:).*"
)
_PLAN = re.compile(r"(?i)\b(?:let me|let's|let us|i'll|i will|i'm going to|i should|i need to|we should)\b")
