"""Packs as a batch of tensors, with the vector that says who sees whom."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
import torch

from pipeline.attention.visibility import (
    FORGET_NOTHING,
    BlockTokens,
    Forgetting,
    memento_tokens,
    packed,
    padded,
    visible_until,
)

IGNORED = -100  # the label that PyTorch's cross entropy takes no loss of


class Seeing(IntEnum):
    """What the tokens of a pack see of finished blocks, as an integer for a table's column.

    FULL: all of them. MEMENTO: none, once the memento is written, which saw its block. RESTART: none, nor did
    the memento, whose tokens carry no loss, since nobody could know them: how to read its words is learnt.
    """

    FULL = 0
    MEMENTO = 1
    RESTART = 2


@dataclass(frozen=True)
class Collator:
    """Makes batches of packs: `input_ids`, `labels`, `lengths` and `prompts` of the examples, `seeing`.

    forgetting: of the packs that are not FULL. sizes: tokens that rows are padded to, the least that is
    enough; without any to the longest row.
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
            "labels": [_filled(self._labels(row), n, IGNORED) for row in rows],
            "position_ids": [_positions(row["lengths"], n) for row in rows],
            "visible_until": [padded(self._visible(row), n) for row in rows],
        }
        return {name: torch.from_numpy(np.stack(column)) for name, column in columns.items()}

    def _labels(self, row: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        labels = np.asarray(row["labels"])
        if row["seeing"] != Seeing.RESTART:
            return labels
        unknowable = np.concatenate(
            [memento_tokens(ids, self.tokens, prompt=prompt) for ids, prompt in _examples(row)]
        )
        return np.where(unknowable, IGNORED, labels)

    def _visible(self, row: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        forgetting = self.forgetting
        if row["seeing"] == Seeing.FULL:
            forgetting = FORGET_NOTHING
        elif row["seeing"] == Seeing.RESTART:
            forgetting = replace(forgetting, before_mementos=True)
        return packed(
            visible_until(ids, self.tokens, forgetting, prompt=prompt) for ids, prompt in _examples(row)
        )


def _examples(row: Mapping[str, Any]) -> Iterator[tuple[np.ndarray[Any, Any], int]]:
    """The ids of each example of a pack, and how many of them are its prompt."""
    parts = np.split(np.asarray(row["input_ids"]), np.cumsum(row["lengths"])[:-1])
    return zip(parts, row["prompts"], strict=True)


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
    number = len(set(padded))
    sizes_in_words = "1 size" if number == 1 else f"{number} sizes"
    return f"{len(packs):,} packs in {sizes_in_words}, {waste:.1%} of their tokens padding"


def _filled(values: Sequence[int] | np.ndarray[Any, Any], n: int, filler: int) -> np.ndarray[Any, Any]:
    filled = np.full(n, filler, np.int64)
    filled[: len(values)] = values
    return filled


def _positions(lengths: Sequence[int], n: int) -> np.ndarray[Any, Any]:
    """Each example begins at 0 again; so does the padding."""
    return np.concatenate([np.arange(length) for length in (*lengths, n - sum(lengths))])
