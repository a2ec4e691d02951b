"""Questions about boundaries, each alone or a few together, over beginnings that they share."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from pipeline.llm.context_window import first_shown
from pipeline.text.pieces import cut, offsets

QUOTED_CHARACTERS = 240
# In a window the places are shown with what follows them; their quotes only point.
_POINTER_CHARACTERS = 40


@dataclass(frozen=True)
class Question:
    """A prompt about boundaries, yet without its words.

    start: first sentence shown; shown: the reasoning; tail: the part of it after the last boundary, in a
    window only. name: of the prompt; values: what it names besides the problem and the reasoning.
    """

    start: int
    shown: str
    tail: str
    name: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Places:
    """The boundaries of a trace, as questions see them. token_offsets: as `offsets` gives them."""

    reasoning: str
    ends: Sequence[int]
    sentences: Sequence[str]
    token_offsets: Sequence[int]

    @classmethod
    def of(cls, trace: dict[str, Any]) -> Self:
        """From reasoning, sentence_ends and sentence_tokens of a row."""
        ends = trace["sentence_ends"]
        return cls(trace["reasoning"], ends, cut(trace["reasoning"], ends), offsets(trace["sentence_tokens"]))

    def windows(self, asked: Sequence[int], size: int, limit: int) -> list[list[int]]:
        """Asked boundaries by question: neighbours, at most `size`, all within half of `limit` tokens."""
        windows: list[list[int]] = []
        for boundary in asked:
            last = windows[-1] if windows else []
            if 0 < len(last) < size and self.span([*last, boundary]) <= limit // 2:
                last.append(boundary)
            else:
                windows.append([boundary])
        return windows

    def span(self, window: Sequence[int]) -> int:
        """Tokens from the beginning of the sentence before the first boundary up to the last boundary."""
        return self.token_offsets[window[-1] + 1] - self.token_offsets[window[0]]

    def question(self, window: Sequence[int], size: int, limit: int) -> Question:
        """What a question about a window shows; limit: most tokens before its last boundary.

        All the window is shown, and with `size` above 1 how the reasoning goes on after it: a model that
        finds the places inside its text reads them, where it would continue a pattern of digits.
        """
        end = window[-1] + 1
        start = min(first_shown(self.token_offsets, end, limit), window[0])
        shown = "".join(self.sentences[start:end])
        if size == 1:
            following = " ".join(self.sentences[end].split())[:QUOTED_CHARACTERS]
            return Question(start, shown, "", "score", {"following": following})
        tail = self.reasoning[self.ends[end - 1] :][:QUOTED_CHARACTERS]
        quotes = [self._pointer(boundary) for boundary in window]
        places = list(zip(labels(len(window)), quotes, strict=True))
        return Question(start, shown + tail, tail, "score_window", {"places": places})

    def _pointer(self, boundary: int) -> str:
        at = self.ends[boundary]
        return " ".join(self.reasoning[at : at + QUOTED_CHARACTERS].split())[:_POINTER_CHARACTERS]


def labels(count: int) -> tuple[str, ...]:
    """Names of the places in a window: A, B, C …; letters, which no tokenizer joins with a digit."""
    return tuple(string.ascii_uppercase[:count])
