"""Prompt tokens that an engine with automatic prefix caching computes, and those it finds in its cache."""

import asyncio
from collections import Counter as Counts
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import tiktoken

Counter = Literal["lengths", "characters", "cl100k_base"]
BLOCK_TOKENS = 16
CHARACTERS_PER_TOKEN = 4


def chat_ml(messages: list[dict[str, Any]]) -> str:
    """The prompt of a chat, up to where the model's turn begins."""
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return turns + "<|im_start|>assistant\n"


@dataclass(frozen=True)
class Prompt:
    """A prompt's size in tokens, and an identity for each of its full blocks behind its prefix."""

    tokens: int
    blocks: Sequence[Hashable]


class PrefixCache:
    """Remembers every full 16-token block behind its prefix, as vLLM does.

    capacity: tokens that it holds, None for no limit. Where it is full, the block that has been free for the
    longest time is forgotten; of a request that ends, the last block is freed first, so that beginnings live
    longest; and a request that does not fit waits until others have ended. All this is vLLM's way
    (v1/core/block_pool.py and kv_cache_manager.py of vLLM 0.32), but for preemption: what will be generated
    has its blocks from the start.

    "characters" takes four characters as a token: nothing to compute, for tests. "lengths" finds nothing
    either, for long runs: no block is kept.
    """

    def __init__(self, counter: Counter, capacity: int | None = None) -> None:
        self._encoding = tiktoken.get_encoding(counter) if counter == "cl100k_base" else None
        self._keeps = counter != "lengths"
        self.blocks = None if capacity is None else capacity // BLOCK_TOKENS
        self._used: Counts[Hashable] = Counts()
        # In the order they became free, the longest ago first.
        self._free: OrderedDict[Hashable, None] = OrderedDict()
        self._ended = asyncio.Condition()

    def count(self, text: str) -> int:
        """Tokens of a text."""
        if self._encoding is None:
            return -(-len(text) // CHARACTERS_PER_TOKEN)
        return len(self._encoding.encode_ordinary(text))

    def prompt(self, messages: list[dict[str, Any]]) -> Prompt:
        """A chat as a prompt."""
        text = chat_ml(messages)
        if not self._keeps:
            return Prompt(self.count(text), ())
        if self._encoding is None:
            return Prompt(self.count(text), _blocks(text, BLOCK_TOKENS * CHARACTERS_PER_TOKEN))
        encoded = self._encoding.encode_ordinary(text)
        return Prompt(len(encoded), _blocks(tuple(encoded), BLOCK_TOKENS))

    @asynccontextmanager
    async def running(self, prompt: Prompt, generated: int) -> AsyncIterator[int]:
        """Holds what a request needs while the body lasts; gives the prompt tokens that were in the cache.

        At least one token is always computed, and only whole blocks are found. generated: tokens of the
        reply. Raises ValueError where the whole cache is too small.
        """
        tail = -(-(prompt.tokens + generated) // BLOCK_TOKENS) - len(prompt.blocks)
        # Blocks that no other request can find: the question's end and the answer.
        held = [*prompt.blocks, *(object() for _ in range(tail if self._keeps else 0))]
        if self.blocks is not None and len(held) > self.blocks:
            raise ValueError(f"{len(held)} blocks do not fit a cache of {self.blocks}")
        async with self._ended:
            await self._ended.wait_for(lambda: self._fits(held))
        found = self._found(prompt)
        self._take(held)
        try:
            yield found
        finally:
            async with self._ended:
                self._give_back(held)
                self._ended.notify_all()

    def _fits(self, held: Sequence[Hashable]) -> bool:
        if self.blocks is None:
            return True
        new = sum(block not in self._used for block in held)
        return len(self._used) + new <= self.blocks

    def _found(self, prompt: Prompt) -> int:
        found = 0
        for block in prompt.blocks:
            if block not in self._used and block not in self._free:
                break
            found += 1
        return min(found, (prompt.tokens - 1) // BLOCK_TOKENS) * BLOCK_TOKENS

    def _take(self, held: Sequence[Hashable]) -> None:
        for block in held:
            self._free.pop(block, None)
            self._used[block] += 1
        while self.blocks is not None and len(self._used) + len(self._free) > self.blocks:
            self._free.popitem(last=False)

    def _give_back(self, held: Sequence[Hashable]) -> None:
        for block in reversed(held):
            self._used[block] -= 1
            if not self._used[block]:
                del self._used[block]
                self._free[block] = None


def _blocks(prompt: Sequence[Hashable], step: int) -> list[Hashable]:
    before, blocks = 0, []
    for end in range(step, len(prompt) + 1, step):
        before = hash((before, prompt[end - step : end]))
        blocks.append(before)
    return blocks
