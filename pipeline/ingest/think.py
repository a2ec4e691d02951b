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
    opened, closed = _marks(response)
    if not opened and not closed:
        return Rejected(RejectReason.NO_REASONING, f"neither {THINK_START} nor {THINK_END}")
    if not closed:
        return Rejected(RejectReason.CUT_BEFORE_THINK_END, f"{len(response)} characters, no {THINK_END}")
    if len(opened) > 1 or len(closed) > 1:
        return Rejected(
            RejectReason.SEVERAL_THINK_PARTS,
            f"{len(opened)} times {THINK_START}, {len(closed)} times {THINK_END}",
        )
    end = closed[0]
    answer = response[end + len(THINK_END) :]
    if not opened:
        return Thought(response[:end], answer)
    start = opened[0]
    if start > end:
        return Rejected(RejectReason.SEVERAL_THINK_PARTS, f"{THINK_START} after {THINK_END}")
    ahead = response[:start].strip()
    if ahead:
        return Rejected(RejectReason.TEXT_BEFORE_THINK, f"{len(ahead)} characters before {THINK_START}")
    return Thought(response[start + len(THINK_START) : end], answer)


def _marks(response: str) -> tuple[list[int], list[int]]:
    """Where the opening and where the closing marks begin, found by the end that both have: in one pass."""
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


def without_marks(reasoning: str) -> str:
    """Reasoning of a field of its own, without the pair of think marks that some sources keep around it."""
    inner = reasoning.strip()
    if inner.startswith(THINK_START) and inner.endswith(THINK_END):
        return inner.removeprefix(THINK_START).removesuffix(THINK_END)
    return reasoning
