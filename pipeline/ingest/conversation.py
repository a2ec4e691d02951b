"""A trace from the turns of a conversation, whichever names its roles and fields have."""

import json
from collections.abc import Mapping
from typing import Any

from pipeline.ingest.think_tags import ThinkTags, Thought, split_thought, without_tags
from pipeline.run.outcomes import Rejected, RejectReason

_USER = ("human", "user")
_ASSISTANT = ("gpt", "assistant")
_IGNORED = ("system", "developer")
REASONING_NAMES = ("reasoning_content", "reasoning", "thinking")

Found = tuple[str, Thought] | Rejected


def from_turns(turns: object, marks: ThinkTags | None) -> Found:
    """Problem and thought of a list of turns, or of the JSON text of one.

    System prompts are left out: a trace is one problem and its answer.
    """
    if isinstance(turns, str):
        try:
            turns = json.loads(turns)
        except (ValueError, RecursionError) as error:
            return unreadable(f"the conversation is text and no JSON ({error})")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return unreadable("the conversation is no list of turns")
    roles = [_role(turn) for turn in turns]
    strange = [role for role in roles if role not in (*_USER, *_ASSISTANT, *_IGNORED)]
    if strange:
        return unreadable(f"a turn of the unknown role {strange[0]!r}")
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
    reasoning = _joined(_first(answered[0], *REASONING_NAMES))
    if reasoning in (None, ""):
        return from_response(problem, content, marks)
    return from_parts(problem, reasoning, content, marks)


def from_response(problem: object, response: object, marks: ThinkTags | None) -> Found:
    """Problem and thought of a text that holds reasoning and answer."""
    problem, response = problem if problem is not None else "", response if response is not None else ""
    if not isinstance(problem, str) or not isinstance(response, str):
        return unreadable("problem or response is no text")
    thought = split_thought(response, marks)
    return thought if isinstance(thought, Rejected) else (problem, thought)


def from_parts(problem: object, reasoning: object, answer: object, marks: ThinkTags | None) -> Found:
    """Problem and thought of texts that stand apart."""
    texts = ["" if text is None else text for text in (problem, reasoning, answer)]
    if not all(isinstance(text, str) for text in texts):
        return unreadable("problem, reasoning or answer is no text")
    return str(texts[0]), Thought(without_tags(str(texts[1]), marks), str(texts[2]))


def as_turns(text_or_turns: object, role: str) -> list[Any]:
    """The turns themselves, or a text as the one turn of that role."""
    return text_or_turns if isinstance(text_or_turns, list) else [{"role": role, "content": text_or_turns}]


def is_turns(value: object) -> bool:
    """Whether a value is a list of turns, not a text and not a list of texts."""
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def unreadable(detail: str) -> Rejected:
    return Rejected(RejectReason.UNREADABLE_ROW, detail)


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
