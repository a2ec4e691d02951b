"""Packs as a batch of tensors, with the vector that says who sees whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipeline.attention.visibility import (
    FORGET_NOTHING,
    BlockTokens,
    Forgetting,
    packed,
    padded,
    visible_until,
)

IGNORED = -100  # the label that PyTorch's cross entropy takes no loss of


@dataclass(frozen=True)
class Collator:
    """Makes batches of packs; each pack has `input_ids`, `labels`, `lengths` (of its examples), `forgets`.

    forgetting: of the packs that forget. sizes: tokens that rows are padded to, the least that is enough;
    without any to the longest row.
    """

    tokens: BlockTokens
    forgetting: Forgetting
    padding: int
    sizes: tuple[int, ...] = ()

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """input_ids, labels, position_ids and visible_until, each (rows, n)."""
        longest = max(len(row["input_ids"]) for row in rows)
        n = padded_size(longest, self.sizes)
        columns: dict[str, list[np.ndarray[Any, Any]]] = {
            "input_ids": [_filled(row["input_ids"], n, self.padding) for row in rows],
            "labels": [_filled(row["labels"], n, IGNORED) for row in rows],
            "position_ids": [_positions(row["lengths"], n) for row in rows],
            "visible_until": [padded(self._visible(row), n) for row in rows],
        }
        return {name: torch.from_numpy(np.stack(column)) for name, column in columns.items()}

    def _visible(self, row: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        forgetting = self.forgetting if row["forgets"] else FORGET_NOTHING
        parts = np.split(np.asarray(row["input_ids"]), np.cumsum(row["lengths"])[:-1])
        return packed(visible_until(part, self.tokens, forgetting) for part in parts)


def sizes_of_batches(most: int, multiple: int) -> tuple[int, ...]:
    """Tokens that rows are padded to: `most`, its half, its quarter and so on, each up to a multiple.

    A handful, since kernels are compiled for each. Packs are nearly full, so that hardly one needs less than
    the largest; the others are for what is left over, and for few rows held out.
    """
    sizes = {-(-most // multiple) * multiple}
    while (most := -(-most // 2)) > multiple // 2:
        sizes.add(-(-most // multiple) * multiple)
    return tuple(sorted(sizes))


def padded_size(tokens: int, sizes: Sequence[int]) -> int:
    """The least of the sizes that is enough for so many tokens; without any the tokens themselves."""
    return min((size for size in sizes if size >= tokens), default=tokens)


def told_sizes(packs: Sequence[int], sizes: Sequence[int]) -> str:
    """Of packs of so many tokens, in how many sizes they come, how much of them is padding; for people."""
    padded = [padded_size(tokens, sizes) for tokens in packs]
    waste = 1 - sum(packs) / max(1, sum(padded))
    return f"{len(packs):,} packs in {len(set(padded))} sizes, {waste:.1%} of their tokens padding"


def _filled(values: Sequence[int], n: int, filler: int) -> np.ndarray[Any, Any]:
    filled = np.full(n, filler, np.int64)
    filled[: len(values)] = values
    return filled


def _positions(lengths: Sequence[int], n: int) -> np.ndarray[Any, Any]:
    """Each example begins at 0 again; so does the padding."""
    return np.concatenate([np.arange(length) for length in (*lengths, n - sum(lengths))])
