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
    """Makes batches of packs: `input_ids`, `labels`, `lengths` and `prompts` of the examples, `forgets`.

    forgetting: of the packs that forget. multiple: batches are padded to a multiple of so many tokens.
    """

    tokens: BlockTokens
    forgetting: Forgetting
    padding: int
    multiple: int = 1

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """input_ids, labels, position_ids and visible_until, each (rows, n)."""
        longest = max(len(row["input_ids"]) for row in rows)
        n = -(-longest // self.multiple) * self.multiple
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
        return packed(
            visible_until(part, self.tokens, forgetting, prompt=prompt)
            for part, prompt in zip(parts, row["prompts"], strict=True)
        )


def _filled(values: Sequence[int], n: int, filler: int) -> np.ndarray[Any, Any]:
    filled = np.full(n, filler, np.int64)
    filled[: len(values)] = values
    return filled


def _positions(lengths: Sequence[int], n: int) -> np.ndarray[Any, Any]:
    """Each example begins at 0 again; so does the padding."""
    return np.concatenate([np.arange(length) for length in (*lengths, n - sum(lengths))])
