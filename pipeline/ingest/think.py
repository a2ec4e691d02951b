"""Where a response's reasoning ends and its answer begins."""

from typing import NamedTuple

from pipeline.outcomes import Rejected, RejectReason
from schemas.openmementos import THINK_END, THINK_START


class Thought(NamedTuple):
    """What stands between the think marks, and everything after them."""

    reasoning: str
    answer: str


def split_thought(response: str) -> Thought | Rejected:
    """The response's reasoning and answer, byte for byte, or why they cannot be told apart.

    A response that only lacks the opening mark is reasoning from its start: the chat template of
    DeepSeek-R1 puts that mark into the prompt.
    """
    # Responses are long and their marks at the edges, so as little as can be is searched and copied.
    opened, end = response.count(THINK_START), response.find(THINK_END)
    answer_start = end + len(THINK_END)
    if not opened and end < 0:
        return Rejected(RejectReason.NO_REASONING, f"neither {THINK_START} nor {THINK_END}")
    if end < 0:
        return Rejected(RejectReason.CUT_BEFORE_THINK_END, f"{len(response)} characters, no {THINK_END}")
    if opened > 1 or response.find(THINK_END, answer_start) > 0:
        closed = response.count(THINK_END)
        return Rejected(
            RejectReason.SEVERAL_THINK_PARTS, f"{opened} times {THINK_START}, {closed} times {THINK_END}"
        )
    if not opened:
        return Thought(response[:end], response[answer_start:])
    start = response.find(THINK_START)
    if start > end:
        return Rejected(RejectReason.SEVERAL_THINK_PARTS, f"{THINK_START} after {THINK_END}")
    ahead = response[:start].strip()
    if ahead:
        return Rejected(RejectReason.TEXT_BEFORE_THINK, f"{len(ahead)} characters before {THINK_START}")
    return Thought(response[start + len(THINK_START) : end], response[answer_start:])


def without_marks(reasoning: str) -> str:
    """Reasoning of a field of its own, without the pair of think marks that some sources keep around it."""
    inner = reasoning.strip()
    if inner.startswith(THINK_START) and inner.endswith(THINK_END):
        return inner.removeprefix(THINK_START).removesuffix(THINK_END)
    return reasoning
