"""Think tags: where a response's reasoning ends and its answer begins."""

import re
from typing import NamedTuple

from pipeline.run.outcomes import Rejected, RejectReason
from schemas.openmementos import THINK_END, THINK_START


class Thought(NamedTuple):
    """What stands between the think marks, and everything after them."""

    reasoning: str
    answer: str


class ThinkTags(NamedTuple):
    """What stands around the reasoning, and, where the source marks it, too, around the answer."""

    start: str
    end: str
    answer_start: str = ""
    answer_end: str = ""


THINK = ThinkTags(THINK_START, THINK_END)
# Looked for where a response has no <think> and no </think>, in this order. The first is that of
# OpenThoughts-114k and of Sky-T1; the next are what models without a template are told to write.
OTHER_MARKS = (
    ThinkTags("<|begin_of_thought|>", "<|end_of_thought|>", "<|begin_of_solution|>", "<|end_of_solution|>"),
    ThinkTags("<thinking>", "</thinking>"),
    ThinkTags("<thought>", "</thought>"),
    ThinkTags("<reasoning>", "</reasoning>"),
    # Magistral, Kimi, Seed, Command, gpt-oss, Granite; and who writes the tag in capitals.
    ThinkTags("[THINK]", "[/THINK]"),
    ThinkTags("◁think▷", "◁/think▷"),
    ThinkTags("<seed:think>", "</seed:think>"),
    ThinkTags("<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ThinkTags(
        "<|channel|>analysis<|message|>",
        "<|end|>",
        "<|start|>assistant<|channel|>final<|message|>",
        "<|return|>",
    ),
    ThinkTags("Here is my thought process:", "Here is my response:"),
    ThinkTags("<THINK>", "</THINK>"),
)


def split_thought(response: str, marks: ThinkTags | None = None) -> Thought | Rejected:
    """The response's reasoning and answer, byte for byte, or why they cannot be told apart.

    marks: the only ones to look for; None looks for those that are known. A response that only lacks the
    opening mark is reasoning from its start: the chat template of DeepSeek-R1 puts that mark into the prompt.
    """
    if marks is None:
        if tag := _TAG_WITH_ATTRIBUTES.match(response):
            response = THINK_START + response[tag.end() :]
        opened, closed = _think_marks(response)
        if opened or closed:
            return _split(response, THINK, opened, closed)
        marks = next((m for m in OTHER_MARKS if m.start in response or m.end in response), THINK)
    return _split(response, marks, _places(response, marks.start), _places(response, marks.end))


def _split(response: str, marks: ThinkTags, opened: list[int], closed: list[int]) -> Thought | Rejected:
    """opened, closed: where the marks begin."""
    if not opened and not closed:
        return Rejected(RejectReason.NO_REASONING, f"neither {marks.start} nor {marks.end}")
    if not closed:
        return Rejected(RejectReason.CUT_BEFORE_THINK_END, f"{len(response)} characters, no {marks.end}")
    if len(opened) > 1 or len(closed) > 1:
        return Rejected(
            RejectReason.SEVERAL_THINK_PARTS,
            f"{len(opened)} times {marks.start}, {len(closed)} times {marks.end}",
        )
    end = closed[0]
    answer = _unmarked(response[end + len(marks.end) :], marks.answer_start, marks.answer_end)
    if not opened:
        return Thought(response[:end], answer)
    start = opened[0]
    if start > end:
        return Rejected(RejectReason.SEVERAL_THINK_PARTS, f"{marks.start} after {marks.end}")
    ahead = response[:start].strip(_WHITE_SPACE)
    if ahead:
        return Rejected(RejectReason.TEXT_BEFORE_THINK, f"{len(ahead)} characters before {marks.start}")
    return Thought(response[start + len(marks.start) : end], answer)


def _think_marks(response: str) -> tuple[list[int], list[int]]:
    """Where <think> and where </think> begin, found by the end that both have: in one pass."""
    opened, closed = [], []
    at = response.find(_COMMON_END)
    while at >= 0:
        after = at + len(_COMMON_END)
        if response.endswith(THINK_START, 0, after):
            opened.append(after - len(THINK_START))
        elif response.endswith(THINK_END, 0, after):
            closed.append(after - len(THINK_END))
        at = response.find(_COMMON_END, after)
    return opened, closed


_COMMON_END = "think>"
_TAG_WITH_ATTRIBUTES = re.compile(r"\s*<think [^<>\n]{1,80}>")
# Byte order mark and zero width space are no text.
_WHITE_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\ufeff\u200b"


def _places(text: str, mark: str) -> list[int]:
    places = []
    at = text.find(mark)
    while at >= 0:
        places.append(at)
        at = text.find(mark, at + len(mark))
    return places


def _unmarked(text: str, start: str, end: str) -> str:
    """The text without a pair of marks around it; of an answer that was cut off, without the first alone."""
    inner = text.strip()
    if not start or not inner.startswith(start):
        return text
    return inner.removeprefix(start).removesuffix(end)


def without_tags(reasoning: str, marks: ThinkTags | None = None) -> str:
    """Reasoning of a field of its own, without the pair of think marks that some sources keep around it."""
    inner = reasoning.strip()
    for known in (marks,) if marks else (THINK, *OTHER_MARKS):
        if inner.startswith(known.start) and inner.endswith(known.end):
            return inner.removeprefix(known.start).removesuffix(known.end)
    return reasoning
