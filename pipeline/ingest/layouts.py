"""How a row holds its trace: the layouts that are known, and the trace that each gives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.config import SourceConfig
from pipeline.ingest.think import Thought, split_thought
from pipeline.outcomes import Rejected, RejectReason


class RawTrace(NamedTuple):
    """A row as the pipeline sees it; the texts are the source's, byte for byte."""

    problem: str
    reasoning: str
    answer: str
    domain: str
    source: str
    difficulty: int | None


@dataclass(frozen=True)
class Layout:
    """Where a row has the parts of its trace: the pipeline's name of a part → the row's column."""

    parts: tuple[str, ...]
    columns: Mapping[str, str]

    @property
    def needed(self) -> list[str]:
        """The columns that `trace` reads."""
        return list(self.columns.values())

    def trace(self, row: Mapping[str, Any], file_name: str) -> RawTrace | Rejected:
        """The row's trace, or why there is none.

        A missing domain is "unknown", a missing source the file's name, a missing difficulty null.
        System prompts are left out: a trace is one problem and its answer.
        """
        labels = _labels({part: row.get(self.columns[part]) for part in self.columns}, file_name)
        if isinstance(labels, Rejected):
            return labels
        values = [row.get(self.columns[part]) for part in self.parts]
        if self.parts in (("conversations",), ("messages",)):
            found = _from_turns(values[0])
        elif self.parts == ("problem", "response"):
            found = _from_response(*values)
        else:
            found = _from_parts(*values)
        if isinstance(found, Rejected):
            return found
        problem, thought = found
        if not problem.strip():
            return Rejected(RejectReason.NO_PROBLEM, "the problem is empty")
        if not thought.reasoning.strip():
            return Rejected(RejectReason.NO_REASONING, "the reasoning is empty")
        if not thought.answer.strip():
            return Rejected(RejectReason.NO_ANSWER, "nothing follows the reasoning")
        return RawTrace(problem, thought.reasoning, thought.answer, *labels)


# First come first served, except that a form whose columns the config maps goes before the others.
_FORMS = (
    ("conversations", ("conversations",)),
    ("messages", ("messages",)),
    ("problem_response", ("problem", "response")),
    ("problem_response", ("problem", "reasoning", "answer")),
)
_LABELS = ("domain", "source", "difficulty")


def layout_of(names: Sequence[str], config: SourceConfig) -> Layout | Rejected:
    """The layout of rows with these columns, or UNKNOWN_LAYOUT with what to do about it."""
    mapped: dict[str, str] = dict(config.columns.items())
    missing = sorted(column for column in mapped.values() if column not in names)
    if missing:
        return Rejected(
            RejectReason.UNKNOWN_LAYOUT,
            f"source.columns names {', '.join(missing)}, but the columns are {', '.join(names)}",
        )
    forms = [parts for name, parts in _FORMS if config.layout in ("auto", name)]
    for parts in sorted(forms, key=lambda parts: -sum(part in mapped for part in parts)):
        if all(mapped.get(part, part) in names for part in parts):
            labels = [label for label in _LABELS if mapped.get(label, label) in names]
            return Layout(parts, {part: mapped.get(part, part) for part in (*parts, *labels)})
    return Rejected(
        RejectReason.UNKNOWN_LAYOUT,
        f"the columns are {', '.join(names)}; known are conversations, messages, problem + response, "
        "and problem + reasoning + answer: set source.columns, e.g. {problem: question, response: output}",
    )


_USER = ("human", "user")
_ASSISTANT = ("gpt", "assistant")
_IGNORED = ("system", "developer")


def _from_turns(turns: object) -> tuple[str, Thought] | Rejected:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return _unreadable("the conversation is no list of turns")
    roles = [_first(turn, "from", "role") for turn in turns]
    strange = [role for role in roles if role not in (*_USER, *_ASSISTANT, *_IGNORED)]
    if strange:
        return _unreadable(f"a turn of the unknown role {strange[0]!r}")
    asked = [turn for turn, role in zip(turns, roles, strict=True) if role in _USER]
    answered = [turn for turn, role in zip(turns, roles, strict=True) if role in _ASSISTANT]
    if not asked:
        return Rejected(RejectReason.NO_PROBLEM, "no turn of the user")
    if not answered:
        return Rejected(RejectReason.NO_ANSWER, "no turn of the assistant")
    if len(asked) > 1 or len(answered) > 1:
        return Rejected(
            RejectReason.SEVERAL_TURNS, f"{len(asked)} turns of the user, {len(answered)} of the assistant"
        )
    problem, content = _first(asked[0], "value", "content"), _first(answered[0], "value", "content")
    reasoning = _first(answered[0], "reasoning_content", "reasoning", "thinking")
    if reasoning in (None, ""):
        return _from_response(problem, content)
    return _from_parts(problem, reasoning, content)


def _from_response(problem: object, response: object) -> tuple[str, Thought] | Rejected:
    problem, response = problem if problem is not None else "", response if response is not None else ""
    if not isinstance(problem, str) or not isinstance(response, str):
        return _unreadable("problem or response is no text")
    thought = split_thought(response)
    return thought if isinstance(thought, Rejected) else (problem, thought)


def _from_parts(problem: object, reasoning: object, answer: object) -> tuple[str, Thought] | Rejected:
    texts = ["" if text is None else text for text in (problem, reasoning, answer)]
    if not all(isinstance(text, str) for text in texts):
        return _unreadable("problem, reasoning or answer is no text")
    return str(texts[0]), Thought(str(texts[1]), str(texts[2]))


def _first(turn: Mapping[str, Any], *keys: str) -> Any:
    """The first of these fields that is there. In Parquet every turn has every field, some null."""
    return next((turn[key] for key in keys if turn.get(key) is not None), None)


def _labels(row: Mapping[str, Any], file_name: str) -> tuple[str, str, int | None] | Rejected:
    domain, source = row.get("domain"), row.get("source")
    domain = "unknown" if domain in (None, "") else domain
    source = file_name if source in (None, "") else source
    if not isinstance(domain, str) or not isinstance(source, str):
        return _unreadable("domain or source is no text")
    difficulty = row.get("difficulty")
    # A column of integers with gaps comes out of pandas as floats with NaN for the gaps.
    if difficulty in (None, "") or (isinstance(difficulty, float) and math.isnan(difficulty)):
        return domain, source, None
    try:
        number = int(difficulty)
        exact = isinstance(difficulty, str) or number == difficulty
    except (TypeError, ValueError, OverflowError):
        return _unreadable(f"difficulty {difficulty!r} is no whole number")
    if isinstance(difficulty, bool) or not exact or not -(2**63) <= number < 2**63:
        return _unreadable(f"difficulty {difficulty!r} is no whole number")
    return domain, source, number


def _unreadable(detail: str) -> Rejected:
    return Rejected(RejectReason.UNREADABLE_ROW, detail)
