"""Rows of a data set as token ids: the prompt, which is only read, and the completion, which is learnt."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import TemplateError
from numpy.typing import NDArray

from pipeline.attention.visibility import BlockTokens
from pipeline.records import ParseError, parse
from pipeline.sft.errors import SftError
from schemas.openmementos import BLOCK_START, THINK_END, THINK_START

_THINKING = re.compile(rf"{re.escape(THINK_START)}\s*(?:{re.escape(THINK_END)}\s*)?\Z")
Ids = NDArray[np.int32]

NO_MEMENTOS = "without mementos"
MALFORMED = "malformed response"
PROMPT_TOO_LONG = "first block does not fit"
CUT = "cut at a block's end"


@dataclass(frozen=True)
class Example:
    """A row: n token ids, of which the first `prompt` are only read."""

    ids: Ids
    prompt: int


class Tokenizing:
    """From rows to examples, for one tokenizer; `counts` says of how many rows what had to be said.

    opens_thinking: whether a response opens the thinking itself, as all of the format do; what the template
    writes of it, open or closed again as of one without thoughts, is then left out. Models of others are
    asked as their makers ask. Raises SftError where nothing can be asked.
    """

    def __init__(
        self, tokenizer: Any, tokens: BlockTokens, max_tokens: int, *, opens_thinking: bool = True
    ) -> None:
        if not tokenizer.chat_template:
            raise SftError(
                f"{tokenizer.name_or_path}: has no chat template, so it is not known how it is asked; take "
                "an instruction-tuned model, or save a template with its tokenizer"
            )
        if tokenizer.eos_token_id is None:
            raise SftError(f"{tokenizer.name_or_path}: names no token that ends a response (eos_token)")
        self.tokenizer = tokenizer
        self.tokens = tokens
        self.max_tokens = max_tokens
        self.opens_thinking = opens_thinking
        self.counts: Counter[str] = Counter()
        self._asked("1 + 1")

    def prompt(self, problem: str) -> str:
        """How the model is asked, up to where its response begins."""
        asked = self._asked(problem)
        return asked.removesuffix(_thinking(asked)) if self.opens_thinking else asked

    @property
    def opening(self) -> str:
        """What of a response the template has written before it begins; "" where it begins itself."""
        thinking = "" if self.opens_thinking else _thinking(self._asked("1 + 1"))
        return "" if THINK_END in thinking else thinking

    def _asked(self, problem: str) -> str:
        try:
            asked: str = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": problem}], tokenize=False, add_generation_prompt=True
            )
        except (TemplateError, TypeError, ValueError) as error:
            # What a template does, and refuses by itself, is its makers' own.
            raise SftError(
                f"{self.tokenizer.name_or_path}: its chat template cannot ask a problem alone "
                f"({type(error).__name__}: {error}); save one with its tokenizer that needs no more than a "
                "user's turn"
            ) from None
        return asked

    def prompt_ids(self, problem: str) -> list[int]:
        """The same as token ids."""
        # The template has written what begins a text.
        ids: list[int] = self.tokenizer.encode(self.prompt(problem), add_special_tokens=False)
        return ids

    def example(self, problem: str, response: str) -> Example | None:
        """The row, where it is too long cut at the end of the last memento that fits; None where none does.

        Loss is taken of every token of the response and of the token that ends it. A response that is cut
        has no such token.
        """
        if BLOCK_START not in response:
            self.counts[NO_MEMENTOS] += 1
            return None
        try:
            parse(response)
        except ParseError:
            self.counts[MALFORMED] += 1
            return None
        prompt = self.prompt_ids(problem)
        completion = self.tokenizer.encode(response, add_special_tokens=False)
        ids = np.array([*prompt, *completion, self.tokenizer.eos_token_id], np.int32)
        if len(ids) > self.max_tokens:
            # A marker in the prompt is text.
            ends = np.flatnonzero(ids[len(prompt) : self.max_tokens] == self.tokens.summary_end)
            if not len(ends):
                self.counts[PROMPT_TOO_LONG] += 1
                return None
            self.counts[CUT] += 1
            ids = ids[: len(prompt) + ends[-1] + 1]
        return Example(ids, len(prompt))


def _thinking(asked: str) -> str:
    """The end of a prompt that opens the thinking, or opens and closes it again; "" where none does."""
    found = _THINKING.search(asked)
    return found[0] if found else ""
