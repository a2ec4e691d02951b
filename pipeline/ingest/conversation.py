"""A trace from the turns of a conversation, whichever names its roles and fields have."""

import json
from collections.abc import Mapping
from typing import Any

from pipeline.ingest.think_tags import ThinkTags, Thought, split_thought, without_tags
from pipeline.run.outcomes import Rejected, RejectReason

_USER = ("human", "user", "prompter")
_ASSISTANT = ("gpt", "assistant", "model", "bot", "chatgpt")
_IGNORED = ("system", "developer")
_TOOLS = ("tool", "function", "observation", "function_call", "ipython")
REASONING_NAMES = ("reasoning_content", "reasoning", "thinking")
_TEXTS = ("value", "content", "text", "parts")
# What some sources have in a column of that name: how much was to be thought, not what.
_SWITCHES = frozenset(("on", "off", "true", "false", "yes", "no", "none", "low", "medium", "high"))

Found = tuple[str, Thought] | Rejected


def from_turns(turns: object, marks: ThinkTags | None) -> Found:
    """Problem and thought of a list of turns, of a dict of lists, or of the JSON text of one.

    System prompts are left out: a trace is one problem and its answer. The reasoning is a field of the
    assistant's turn, a part of its content, a turn of its own in the channel "analysis" (gpt-oss), or marked.
    """
    if isinstance(turns, str):
        try:
            turns = json.loads(turns)
        except (ValueError, RecursionError) as error:
            return unreadable(f"the conversation is text and no JSON ({error})")
    turns = _as_list(turns)
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return unreadable("the conversation is no list of turns")
    roles = [_role(turn) for turn in turns]
    if tools := [role for role in roles if role in _TOOLS]:
        return Rejected(RejectReason.SEVERAL_TURNS, f"a turn of a {tools[0]}")
    strange = [role for role in roles if role not in (*_USER, *_ASSISTANT, *_IGNORED)]
    if strange:
        return unreadable(f"a turn of the unknown role {strange[0]!r}")
    asked = [turn for turn, role in zip(turns, roles, strict=True) if role in _USER]
    answered = [turn for turn, role in zip(turns, roles, strict=True) if role in _ASSISTANT]
    if len(answered) == 2 and answered[0].get("channel") == "analysis" and roles[-2] == roles[-1]:
        answered = [{**answered[1], "reasoning_content": _first(answered[0], *_TEXTS)}]
    if not asked:
        return Rejected(RejectReason.NO_PROBLEM, "no turn of the user")
    if not answered:
        return Rejected(RejectReason.NO_ANSWER, "no turn of the assistant")
    if len(asked) > 1 or len(answered) > 1:
        return Rejected(
            RejectReason.SEVERAL_TURNS, f"{len(asked)} turns of the user, {len(answered)} of the assistant"
        )
    problem = _joined(_first(asked[0], *_TEXTS))
    thought, content = _apart(_first(answered[0], *_TEXTS))
    reasoning = _joined(_first(answered[0], *REASONING_NAMES)) or thought
    if reasoning in (None, "") or is_switch(reasoning):
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
    if is_turns(problem := _as_list(problem)):
        asked = [
            turn for turn in as_turns(problem, "user") if isinstance(turn, dict) and _role(turn) in _USER
        ]
        if len(asked) != 1:
            return Rejected(RejectReason.SEVERAL_TURNS, f"{len(asked)} turns of the user")
        problem = _joined(_first(asked[0], *_TEXTS))
    texts = ["" if text is None else _only(text) for text in (problem, reasoning, answer)]
    if not all(isinstance(text, str) for text in texts):
        kinds = ", ".join(type(text).__name__ for text in texts)
        return unreadable(f"problem, reasoning or answer is no text: {kinds}")
    if is_switch(texts[1]):
        return Rejected(RejectReason.NO_REASONING, f"the reasoning is {texts[1]!r}")
    return str(texts[0]), Thought(without_tags(str(texts[1]), marks), str(texts[2]))


def as_turns(text_or_turns: object, role: str) -> list[Any]:
    """The turns themselves, or a text as the one turn of that role."""
    return text_or_turns if isinstance(text_or_turns, list) else [{"role": role, "content": text_or_turns}]


def is_turns(value: object) -> bool:
    """Whether a value is a list of turns, not a text and not a list of texts."""
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def unreadable(detail: str) -> Rejected:
    return Rejected(RejectReason.UNREADABLE_ROW, detail)


def is_switch(value: object) -> bool:
    """Whether a text says how much was to be thought ("on", "high"), not what."""
    return isinstance(value, str) and value.strip().lower() in _SWITCHES


def _as_list(turns: object) -> object:
    """A dict of lists, as `datasets` stores a sequence of dicts, as the list; anything else as it is."""
    if not isinstance(turns, dict) or not turns:
        return turns
    lists = list(turns.values())
    if not all(isinstance(one, list) and len(one) == len(lists[0]) for one in lists):
        return turns
    return [dict(zip(turns, one, strict=True)) for one in zip(*lists, strict=True)]


def _only(texts: object) -> object:
    """The text of a list of one."""
    return texts[0] if isinstance(texts, list) and len(texts) == 1 else texts


def _role(turn: Mapping[str, Any]) -> object:
    role = _first(turn, "from", "role")
    return role.lower() if isinstance(role, str) else role


def _joined(content: object) -> object:
    """The text of a content that is given in parts; anything else, images in parts too, as it is."""
    thought, text = _apart(content)
    return content if thought else text


def _apart(content: object) -> tuple[str, object]:
    """Thinking and text of a content that is given in parts; of anything else the content as it is."""
    content = _as_list(content)
    if not isinstance(content, list):
        return "", content
    thoughts, texts = [], []
    for part in content:
        kind = part.get("type") or "text" if isinstance(part, dict) else None
        text = part.get("text") if kind in ("text", "output_text") else None
        thought = _first(part, "thinking", "reasoning", "text") if kind in ("thinking", "reasoning") else None
        if not isinstance(text, str) and not isinstance(thought, str):
            return "", content
        thoughts += [thought] if isinstance(thought, str) else []
        texts += [text] if isinstance(text, str) else []
    return "".join(thoughts), "".join(texts)


def _first(turn: Mapping[str, Any], *keys: str) -> Any:
    """The first of these fields that is there. In Parquet every turn has every field, some null."""
    return next((turn[key] for key in keys if turn.get(key) is not None), None)
