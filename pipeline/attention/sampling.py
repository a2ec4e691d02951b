"""The next token drawn from a model's distribution, each row with a seed of its own."""

from collections.abc import Sequence

import torch


class Sampler:
    """Draws tokens for rows of a batch; which rows are beside a row makes no difference to it.

    temperature: above 0; top_p: share of the probability that the likeliest tokens make up together, of
    which one is drawn. seeds: one for each row, by its number.
    """

    def __init__(self, temperature: float, top_p: float, seeds: Sequence[int]) -> None:
        self._temperature, self._top_p = temperature, top_p
        self._draws = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """The next token of each row, (n,), from logits (n, vocabulary)."""
        shares, tokens = torch.softmax(logits.float() / self._temperature, -1).sort(-1, descending=True)
        before = shares.cumsum(-1) - shares
        # The likeliest is always kept.
        shares = torch.where(before < self._top_p, shares, 0.0)
        reached = shares.cumsum(-1)
        draws = torch.stack([torch.rand(1, generator=self._draws[row]) for row in rows]).to(logits.device)
        chosen = (reached < draws * reached[:, -1:]).sum(-1, keepdim=True)
        return tokens.gather(-1, chosen)[:, 0]
