"""How a row holds its trace: the layouts that are known, and the trace that each gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.config import SourceConfig
from pipeline.ingest.think import Thought, split_thought, without_marks
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

        A missing domain is "unknown", a missing source the file's name, a missing difficulty null. So is a
        label that is of no use, such as a list or the difficulty "hard": no label costs a trace. Numbers
        are taken as text for domain and source, and the text of a whole number as the number for difficulty.
        System prompts are left out: a trace is one problem and its answer. Where the config maps a column
        to `verified`, only a row with true, 1, yes, correct or passed in it has a trace.
        """
        if _VERIFIED in self.columns:
            column = self.columns[_VERIFIED]
            if str(row.get(column)).strip().lower() not in _CONFIRMED:
                return Rejected(RejectReason.NOT_VERIFIED, f"{column} is {row.get(column)!r}")
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
        labels = {label: row.get(self.columns[label]) for label in _LABELS if label in self.columns}
        return RawTrace(
            problem,
            thought.reasoning,
            thought.answer,
            domain=_label_text(labels.get("domain")) or "unknown",
            source=_label_text(labels.get("source")) or file_name,
            difficulty=_whole_number(labels.get("difficulty")),
        )


# First come first served, except that a form whose columns the config maps goes before the others.
_FORMS = (
    ("conversations", ("conversations",)),
    ("messages", ("messages",)),
    ("problem_response", ("problem", "response")),
    ("problem_response", ("problem", "reasoning", "answer")),
)
_LABELS = ("domain", "source", "difficulty")
# Never taken for what its name says where the config does not map it: sources mean many things by it.
_VERIFIED = "verified"
_CONFIRMED = ("true", "1", "1.0", "yes", "correct", "passed")


def layout_of(
    names: Sequence[str], config: SourceConfig, *, some_labels_missing: bool = False
) -> Layout | Rejected:
    """The layout of rows with these columns, or UNKNOWN_LAYOUT with what to do about it.

    some_labels_missing: the names are those of one row, which may lack labels that the config maps.
    """
    mapped: dict[str, str] = dict(config.columns.items())
    needed = [column for part, column in mapped.items() if not (some_labels_missing and part in _LABELS)]
    missing = sorted(column for column in needed if column not in names)
    if missing:
        return Rejected(
            RejectReason.UNKNOWN_LAYOUT,
            f"source.columns names {', '.join(missing)}, but the columns are {', '.join(names)}",
        )
    forms = [parts for name, parts in _FORMS if config.layout in ("auto", name)]
    for parts in sorted(forms, key=lambda parts: -sum(part in mapped for part in parts)):
        if all(mapped.get(part, part) in names for part in parts):
            labels = [label for label in _LABELS if mapped.get(label, label) in names]
            labels += [_VERIFIED] if _VERIFIED in mapped else []
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
    roles = [_role(turn) for turn in turns]
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
    problem = _joined(_first(asked[0], "value", "content"))
    content = _joined(_first(answered[0], "value", "content"))
    reasoning = _joined(_first(answered[0], "reasoning_content", "reasoning", "thinking"))
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
    return str(texts[0]), Thought(without_marks(str(texts[1])), str(texts[2]))


def _role(turn: Mapping[str, Any]) -> object:
    role = _first(turn, "from", "role")
    return role.lower() if isinstance(role, str) else role


def _joined(content: object) -> object:
    """The text of a content that is given in parts; anything else, images in parts too, as it is."""
    if not isinstance(content, list):
        return content
    parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    return "".join(texts) if len(texts) == len(content) else content


def _first(turn: Mapping[str, Any], *keys: str) -> Any:
    """The first of these fields that is there. In Parquet every turn has every field, some null."""
    return next((turn[key] for key in keys if turn.get(key) is not None), None)


def _label_text(value: object) -> str:
    """A text or number as text; empty for anything else. NaN is how pandas writes a gap."""
    if isinstance(value, str):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number and value == value else ""


def _whole_number(value: object) -> int | None:
    """The number that the value is or spells, where it is whole and fits 64 bits."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    exact = isinstance(value, str) or number == value
    return number if exact and -(2**63) <= number < 2**63 else None


def _unreadable(detail: str) -> Rejected:
    return Rejected(RejectReason.UNREADABLE_ROW, detail)
