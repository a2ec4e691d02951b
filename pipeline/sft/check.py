"""How good a model is at held-out problems: whether its responses have the form, and the right answer."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from pipeline.attention.generate import Response, generate, likeliest
from pipeline.attention.visibility import Forgetting
from pipeline.records import ParseError, parse
from pipeline.records.boxed import boxed_answers
from pipeline.sft.config import CheckConfig
from pipeline.sft.examples import Tokenizing


@dataclass(frozen=True)
class Quality:
    """Of so many responses, how many were well formed, how many right; peak_tokens: mean of the most held."""

    problems: int
    well_formed: int
    right: int
    peak_tokens: float

    @property
    def format_rate(self) -> float:
        """Share of well-formed responses: they ended, and their parts are those of the format."""
        return self.well_formed / self.problems if self.problems else 0.0

    @property
    def accuracy(self) -> float:
        """Share of responses with the answer of the held-out row."""
        return self.right / self.problems if self.problems else 0.0

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "format_rate": self.format_rate, "accuracy": self.accuracy}


def check(
    model: Any,
    tokenizing: Tokenizing,
    rows: Sequence[dict[str, str]],
    forgetting: Forgetting,
    config: CheckConfig,
) -> Quality:
    """Responses to the rows' problems, greedily, with a cache that forgets as told.

    Where a model is sharded over several devices all of them call this together.
    """
    well_formed = right = 0
    peaks: list[int] = []
    was_training = model.training
    attention = model.config._attn_implementation
    model.eval()
    model.set_attn_implementation("sdpa")  # FlexAttention takes no masks of a single query
    try:
        for batch in _batches(rows, config.batch):
            responses = generate(
                model,
                [tokenizing.prompt_ids(row["problem"]) for row in batch],
                tokenizing.tokens,
                forgetting,
                ends=[tokenizing.tokenizer.eos_token_id],
                new_tokens=config.new_tokens,
                choose=_agreed,
            )
            for row, response in zip(batch, responses, strict=True):
                answer = _answer(response, tokenizing)
                well_formed += answer is not None
                right += answer is not None and is_same(answer, parse(row["response"]).answer)
                peaks.append(max(response.held, default=0))
    finally:
        model.set_attn_implementation(attention)
        model.train(was_training)
    return Quality(len(rows), well_formed, right, sum(peaks) / max(1, len(peaks)))


def is_same(answer: str, expected: str) -> bool:
    """Whether two answers say the same: what they box, where the expected one boxes something; else all."""
    if boxed := boxed_answers(expected):
        return boxed_answers(answer)[-1:] == boxed[-1:]
    return answer.split() == expected.split()


def _answer(response: Response, tokenizing: Tokenizing) -> str | None:
    """The answer of a well-formed response, which has at least one block; None of another."""
    if not response.is_ended:
        return None
    text = tokenizing.tokenizer.decode(response.ids, skip_special_tokens=False)
    try:
        parsed = parse(text)
    except ParseError:
        return None
    return parsed.answer if parsed.blocks else None


def _agreed(logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """The likeliest tokens, as the first of several devices finds them: all must compute the same next."""
    tokens = likeliest(logits, rows)
    if torch.distributed.is_initialized():
        torch.distributed.broadcast(tokens, src=0)
    return tokens


def _batches(rows: Sequence[dict[str, str]], size: int) -> Iterator[Sequence[dict[str, str]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
