"""How much of a trace a request shows, so that it fits the model and still begins as its neighbours do."""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pipeline.llm.model import ContextTooLong

T = TypeVar("T")

# Room for the system prompt, the question and the chat template, in tokens of the data's vocabulary.
_OVERHEAD_TOKENS = 1_200
# A model's own tokenizer makes more tokens of LaTeX and code than tiktoken does; seen up to 1.35 times.
_TOKENIZER_MARGIN = 1.4
SHORTEST = 128


def shown_tokens(window: int | None, wanted: int, *, around: int) -> int:
    """Tokens of reasoning that a request may show: what is wanted, or less where the window is small.

    window: tokens the model can see, None where unknown; around: tokens of the problem, of what the
    question quotes and of the answer.
    """
    if window is None:
        return wanted
    room = int(window / _TOKENIZER_MARGIN) - _OVERHEAD_TOKENS - around
    return max(SHORTEST, min(wanted, room))


def first_shown(offsets: Sequence[int], end: int, limit: int) -> int:
    """Number of the first sentence to show so that sentences up to `end` (exclusive) stay under `limit`.

    offsets: tokens before each sentence, and after the last. The beginning moves in hops of half the limit,
    not sentence by sentence: requests about neighbouring places begin alike, which the prefix cache serves.
    """
    surplus = offsets[end] - limit
    if surplus <= 0:
        return 0
    hop = max(1, limit // 2)
    start = -(-surplus // hop) * hop
    return min(bisect_left(offsets, start), end - 1)


async def fitting(limit: int, ask: Callable[[int], Awaitable[T]], *, shortest: int = SHORTEST) -> T:
    """What `ask(limit)` gives, with half the limit again and again while the model finds the prompt too long.

    shortest: limit under which the prompt becomes no shorter. Raises ContextTooLong where not even that fits.
    """
    while True:
        try:
            return await ask(limit)
        except ContextTooLong:
            if limit <= shortest:
                raise
            limit = max(shortest, limit // 2)
