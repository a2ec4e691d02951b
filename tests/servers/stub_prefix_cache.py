"""Prompt tokens that an engine with automatic prefix caching computes, and those it finds in its cache."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import tiktoken

Counter = Literal["lengths", "characters", "cl100k_base"]
BLOCK_TOKENS = 16
CHARACTERS_PER_TOKEN = 4


def chat_ml(messages: list[dict[str, Any]]) -> str:
    """The prompt of a chat, up to where the model's turn begins."""
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return turns + "<|im_start|>assistant\n"


class PrefixCache:
    """Remembers every full 16-token block behind its prefix, as vLLM does; never forgets one.

    "characters" takes four characters as a token: nothing to compute, for tests. "lengths" finds nothing
    either, for long runs: no block is kept.
    """

    def __init__(self, counter: Counter) -> None:
        self._encoding = tiktoken.get_encoding(counter) if counter == "cl100k_base" else None
        self._keeps = counter != "lengths"
        self._blocks: set[int] = set()

    def count(self, text: str) -> int:
        """Tokens of a text."""
        if self._encoding is None:
            return -(-len(text) // CHARACTERS_PER_TOKEN)
        return len(self._encoding.encode_ordinary(text))

    def take(self, messages: list[dict[str, Any]]) -> tuple[int, int]:
        """Tokens of a ChatML prompt, and how many of them were in the cache; they are now.

        At least one token is always computed, and only whole blocks are found.
        """
        prompt = chat_ml(messages)
        if not self._keeps:
            return self.count(prompt), 0
        if self._encoding is None:
            tokens = self.count(prompt)
            return tokens, self._found(prompt, tokens, BLOCK_TOKENS * CHARACTERS_PER_TOKEN)
        encoded = self._encoding.encode_ordinary(prompt)
        return len(encoded), self._found(tuple(encoded), len(encoded), BLOCK_TOKENS)

    def _found(self, prompt: Sequence[Hashable], tokens: int, step: int) -> int:
        before, found, unbroken = 0, 0, True
        for end in range(step, len(prompt) + 1, step):
            before = hash((before, prompt[end - step : end]))
            unbroken = unbroken and before in self._blocks
            found += unbroken
            self._blocks.add(before)
        return min(found, (tokens - 1) // BLOCK_TOKENS) * BLOCK_TOKENS
