"""Attention masks for FlexAttention, as tiles: what no query of a tile sees is never computed."""

from collections.abc import Callable

import torch
from torch.nn.attention.flex_attention import BlockMask

Index = torch.Tensor
_MaskMod = Callable[[Index, Index, Index, Index], torch.Tensor]

TILE = 128  # FlexAttention's own, in queries and keys


def tiled_mask(visible_until: torch.Tensor, window: int | None = None, tile: int = TILE) -> BlockMask:
    """The mask of `dense_mask` for FlexAttention, made in O((n / tile)²) instead of O(n²).

    visible_until: (rows, n), n a multiple of `tile`. A tile is left out where its first query sees none
    of its keys any more, and taken without looking at pairs where its last query still sees all of them.
    """
    rows, n = visible_until.shape
    if n % tile:
        raise ValueError(f"rows of {n} tokens: pad them to a multiple of {tile}")
    by_tile = visible_until.view(rows, 1, n // tile, tile)
    soonest, latest = by_tile.amin(-1)[:, :, None], by_tile.amax(-1)[:, :, None]
    first = torch.arange(0, n, tile, device=visible_until.device)
    first_query, first_key = first[:, None], first[None, :]
    last_query, last_key = first_query + tile - 1, first_key + tile - 1
    some = (first_key <= last_query) & (first_query < latest)
    every = (last_key <= first_query) & (last_query < soonest)
    if window is not None:
        some &= first_query - last_key < window
        every &= last_query - first_key < window
    partial = _ordered(some & ~every)
    full = _ordered(every)
    return BlockMask.from_kv_blocks(
        *partial, *full, BLOCK_SIZE=tile, mask_mod=_pairs(visible_until, window), seq_lengths=(n, n)
    )


def _ordered(tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """By row of tiles how many are wanted, and the numbers of all, the wanted ones first."""
    count = tiles.sum(-1, dtype=torch.int32)
    order = torch.argsort(tiles.to(torch.int8), dim=-1, descending=True, stable=True)
    return count, order.to(torch.int32)


def _pairs(visible_until: torch.Tensor, window: int | None) -> _MaskMod:
    # The kernel is compiled once for all masks of these two forms: the vector is read, not compiled in.
    def sees(row: Index, _head: Index, query: Index, key: Index) -> torch.Tensor:
        return (key <= query) & (query < visible_until[row, key])

    if window is None:
        return sees

    def sees_in_window(row: Index, head: Index, query: Index, key: Index) -> torch.Tensor:
        return sees(row, head, query, key) & (query - key < window)

    return sees_in_window
