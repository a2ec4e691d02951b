"""The next token drawn from a model's distribution, each row with a seed of its own."""

from collections.abc import Sequence

import torch


class Sampler:
    """Draws tokens for rows of a batch; which rows are beside a row makes no difference to it.

    temperature: above 0. One is drawn of the `top_k` likeliest (0: of all), if at least `min_p` times as
    likely as the likeliest, and of these of the likeliest that make up `top_p` of their probability together,
    as in vLLM. seeds: one for each row, by its number.
    """

    def __init__(
        self,
        temperature: float,
        top_p: float,
        seeds: Sequence[int],
        *,
        top_k: int = 0,
        min_p: float = 0.0,
    ) -> None:
        self._temperature, self._top_p, self._top_k, self._min_p = temperature, top_p, top_k, min_p
        self._draws = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """The next token of each row, (n,), from logits (n, vocabulary)."""
        shares = torch.softmax(logits.float() / self._temperature, -1)
        # All of a vocabulary is sorted only where it is wanted.
        shares, tokens = shares.topk(min(self._top_k, shares.shape[-1]) or shares.shape[-1], -1)
        # The likeliest is always kept.
        shares = torch.where(shares >= self._min_p * shares[:, :1], shares, 0.0)
        before = shares.cumsum(-1) - shares
        shares = torch.where(before < self._top_p * shares.sum(-1, keepdim=True), shares, 0.0)
        reached = shares.cumsum(-1)
        draws = torch.stack([torch.rand(1, generator=self._draws[row]) for row in rows]).to(logits.device)
        chosen = (reached < draws * reached[:, -1:]).sum(-1, keepdim=True)
        return tokens.gather(-1, chosen)[:, 0]
