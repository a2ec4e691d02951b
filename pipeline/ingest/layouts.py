"""What a row gives in its layout: a trace, several of them, or why there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.ingest.conversation import (
    Found,
    as_turns,
    from_parts,
    from_response,
    from_turns,
    is_switch,
    is_turns,
    unreadable,
)
from pipeline.ingest.labels import confirms, label_text, whole_number
from pipeline.ingest.think_tags import ThinkTags
from pipeline.run.outcomes import Rejected, RejectReason
from schemas.openmementos import without_end_tokens

LABELS = ("domain", "source", "difficulty")


class RawTrace(NamedTuple):
    """A row as the pipeline sees it; the texts are the source's, byte for byte."""

    problem: str
    reasoning: str
    answer: str
    domain: str
    source: str
    difficulty: int | None
    taken_off: str = ""
    """Marks of a tokenizer that stood at the answer's end."""


class Answer(NamedTuple):
    """One answer of a row: its number among several, from 1 (0 where the row holds one), and its trace."""

    number: int
    outcome: RawTrace | Rejected


@dataclass(frozen=True)
class Layout:
    """Where a row has the parts of its trace.

    columns: the pipeline's name of a part → the row's column; parts: those that make the trace. verdicts:
    columns of which one must confirm an answer; none where nothing is verified. marks: around the reasoning,
    None for those that are known. told: the columns taken for a part by a name that only resembles it.
    """

    parts: tuple[str, ...]
    columns: Mapping[str, str]
    verdicts: tuple[str, ...] = ()
    marks: ThinkTags | None = None
    told: str = ""

    @property
    def needed(self) -> list[str]:
        """The columns that `answers` reads."""
        return list(dict.fromkeys((*self.columns.values(), *self.verdicts)))

    def answers(self, row: Mapping[str, Any], file_name: str) -> list[Answer]:
        """The row's traces, or why there are none: one, or one for each text of a list of answers.

        A missing domain is "unknown", a missing source the file's name, a missing difficulty null. So is a
        label that is of no use, such as a list or the difficulty "hard": no label costs a trace. Numbers
        are taken as text for domain and source, and the text of a whole number as the number for difficulty.
        """
        given = row.get(self.columns["response"]) if self.parts == ("problem", "response") else None
        if not isinstance(given, list) or is_turns(given) or is_turns(row.get(self.columns["problem"])):
            return [Answer(0, self._trace(row, self._found(row), _verdict(row, self.verdicts), file_name))]
        if not given:
            return [Answer(0, Rejected(RejectReason.NO_ANSWER, f"{self.columns['response']} is empty"))]
        for column in self.verdicts:
            told = row.get(column)
            if isinstance(told, list) and len(told) != len(given):
                wrong = unreadable(f"{len(given)} answers and {len(told)} verdicts in {column}")
                return [Answer(0, wrong)]
        problem = self._problem(row)
        return [
            Answer(
                number + 1,
                self._trace(
                    row,
                    from_response(problem, response, self.marks),
                    _verdict(row, self.verdicts, number),
                    file_name,
                ),
            )
            for number, response in enumerate(given)
        ]

    def _problem(self, row: Mapping[str, Any]) -> object:
        problem, given = row.get(self.columns["problem"]), row.get(self.columns.get("input", ""))
        # Instructions for many inputs, as Alpaca's, are no problem without theirs.
        both = isinstance(problem, str) and isinstance(given, str) and given.strip()
        return f"{problem}\n\n{given}" if both else problem

    def _found(self, row: Mapping[str, Any]) -> Found:
        values = [row.get(self.columns[part]) for part in self.parts]
        if self.parts in (("conversations",), ("messages",)):
            return from_turns(values[0], self.marks)
        if self.parts == ("problem", "reasoning", "answer"):
            return from_parts(self._problem(row), values[1], values[2], self.marks)
        if any(map(is_turns, values)):
            turns = [as_turns(value, role) for value, role in zip(values, ("user", "assistant"), strict=True)]
            return from_turns([*turns[0], *turns[1]], self.marks)
        problem = self._problem(row)
        found = from_response(problem, values[1], self.marks)
        apart = row.get(self.columns.get("reasoning", ""))
        if (
            apart
            and not is_switch(apart)
            and isinstance(found, Rejected)
            and found.reason is RejectReason.NO_REASONING
        ):
            return from_parts(problem, apart, values[1], self.marks)
        return found

    def _trace(
        self, row: Mapping[str, Any], found: Found, refused: Rejected | None, file_name: str
    ) -> RawTrace | Rejected:
        if refused is not None:
            return refused
        if isinstance(found, Rejected):
            return found
        problem, thought = found
        if not problem.strip():
            return Rejected(RejectReason.NO_PROBLEM, "the problem is empty")
        if not thought.reasoning.strip():
            return Rejected(RejectReason.NO_REASONING, "the reasoning is empty")
        answer, taken_off = without_end_tokens(thought.answer)
        if not answer.strip():
            return Rejected(RejectReason.NO_ANSWER, "nothing follows the reasoning")
        labels = {label: row.get(self.columns[label]) for label in LABELS if label in self.columns}
        return RawTrace(
            problem,
            thought.reasoning,
            answer,
            domain=label_text(labels.get("domain")) or "unknown",
            source=label_text(labels.get("source")) or file_name,
            difficulty=whole_number(labels.get("difficulty")),
            taken_off=taken_off,
        )


def answers_of(layouts: Sequence[Layout], row: Mapping[str, Any], file_name: str) -> list[Answer]:
    """The row's answers in the first of these layouts that it has; in the likeliest where it has none.

    Only what is not there is looked for elsewhere: a trace that is cut, or that nobody confirms, stays out.
    """
    likeliest = layouts[0].answers(row, file_name)
    refused = likeliest[0].outcome
    if isinstance(refused, Rejected) and refused.reason in _NOT_THERE and not layouts[0].verdicts:
        for layout in layouts[1:]:
            answers = layout.answers(row, file_name)
            if any(isinstance(answer.outcome, RawTrace) for answer in answers):
                return answers
    return likeliest


_NOT_THERE = frozenset(
    {
        RejectReason.NO_PROBLEM,
        RejectReason.NO_REASONING,
        RejectReason.NO_ANSWER,
        RejectReason.UNREADABLE_ROW,
    }
)


def _verdict(row: Mapping[str, Any], columns: Sequence[str], answer: int | None = None) -> Rejected | None:
    """Why an answer is left out; None where a verdict confirms it, or nobody judges. answer: from 0."""
    told = {}
    for column in columns:
        value = row.get(column)
        told[column] = value[answer] if answer is not None and isinstance(value, list) else value
    if not told or any(map(confirms, told.values())):
        return None
    said = ", ".join(f"{column} is {value!r}" for column, value in told.items())
    return Rejected(RejectReason.NOT_VERIFIED, said)
