"""Servers that cut a prompt to their window without a word: suspected by what they count, proven by a probe.

Ollama reads the last `num_ctx` tokens of a prompt and answers as if that were all; only `usage` tells. How
many tokens a prompt has is for the model's tokenizer to say, so that a small count is but a reason to look:
then the endpoint is asked about a text of which every tokenizer makes more tokens than it has counted.
Whoever counts fewer of that has cut it; whoever refuses it does not cut. So no script and no code raises a
false alarm.
"""

import asyncio
import random
import re
import string
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from pipeline.llm.model import Message

# More than English prose has in the vocabularies of today (4.2 to 4.8), without its runs of white space;
# formulas and code have fewer. Of Chinese, Japanese and Korean characters a token has 1 to 1.8.
_CHARACTERS_PER_TOKEN = 5.0
_WIDE_CHARACTERS_PER_TOKEN = 2.0
_WIDE = re.compile("[\u2e80-\U0003ffff]")
# A cut prompt comes to the window's size, give or take what the chat template adds.
_NEARLY = 0.98
# Prompts whose sizes in characters differ by more than this have no reason to have the same tokens.
_SAME_SIZE = 0.01
# A word of five random letters and digits is one token at the very least, and usually three.
_LETTERS = string.ascii_lowercase + string.digits
_WORD_LETTERS = 5
_MORE_WORDS = 16
_FEW_WORDS = 64


@dataclass(frozen=True)
class Cut:
    """Proof: of a text of at least `sent` tokens the endpoint counted `read`.

    earlier: key of a reply that had been taken, to a prompt that may have been cut as this one.
    """

    sent: int
    read: int
    earlier: str | None


@dataclass
class PromptWatch:
    """What an endpoint has counted of prompts so far; for one event loop. most: the largest count."""

    most: int = 0
    _proven: int = 0
    _characters: int = 0
    _key: str | None = None
    _is_cleared: bool = False
    _cut: Cut | None = None
    _probing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def check(
        self,
        key: str,
        messages: Sequence[Message],
        prompt_tokens: int,
        count: Callable[[str], Awaitable[int | None]],
    ) -> Cut | None:
        """Proof that the endpoint has cut this prompt, or None; key: names its reply.

        prompt_tokens: as its answer counts them, 0 where it tells none. count(text): as it counts those of a
        text, None where it refuses it.
        """
        if not self._is_suspicious(messages, prompt_tokens):
            self._note(key, messages, prompt_tokens)
            return None
        async with self._probing:
            # While this one waited, another may have looked.
            if self._cut is None and self._is_suspicious(messages, prompt_tokens):
                self._cut = await self._proof(prompt_tokens, count)
            if self._cut is None:
                self._note(key, messages, prompt_tokens)
            return self._cut

    def _is_suspicious(self, messages: Sequence[Message], prompt_tokens: int) -> bool:
        # Whoever has counted more in another prompt has a larger window than this one.
        if self._is_cleared or prompt_tokens <= max(self._proven, _NEARLY * self.most - 1):
            return False
        characters = _characters(messages)
        is_same_count = prompt_tokens == self.most
        is_other_size = abs(characters - self._characters) > _SAME_SIZE * characters
        return (is_same_count and is_other_size) or prompt_tokens < _fewest_expected(messages)

    def _note(self, key: str, messages: Sequence[Message], prompt_tokens: int) -> None:
        if prompt_tokens > self.most:
            self.most, self._characters, self._key = prompt_tokens, _characters(messages), key

    async def _proof(self, prompt_tokens: int, count: Callable[[str], Awaitable[int | None]]) -> Cut | None:
        sent = prompt_tokens + _MORE_WORDS
        read = await count(_words(sent))
        if read is not None and read >= sent:
            self._proven = read
            return None
        # Whoever miscounts a few words, too, tells nothing by what it counts.
        few = await count(_words(_FEW_WORDS)) if read is not None else None
        if read is None or few is None or few < _FEW_WORDS:
            self._is_cleared = True
            return None
        return Cut(sent, read, self._key if prompt_tokens == self.most else None)


def _characters(messages: Sequence[Message]) -> int:
    return sum(len(message.content) for message in messages)


def _fewest_expected(messages: Sequence[Message]) -> float:
    texts = [re.sub(r"\s+", " ", message.content) for message in messages]
    characters = sum(map(len, texts))
    wide = sum(len(_WIDE.findall(text)) for text in texts)
    return (characters - wide) / _CHARACTERS_PER_TOKEN + wide / _WIDE_CHARACTERS_PER_TOKEN


def _words(number: int) -> str:
    """So many words that no cache has seen and no vocabulary holds."""
    return " ".join("".join(random.choices(_LETTERS, k=_WORD_LETTERS)) for _ in range(number))
