"""A KV cache that gives up finished blocks: entries are removed, and the others keep their positions."""

from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from pipeline.attention.layers import layer_types, windows

_NOBODY = -1  # the position of padding


class BlockCache(Cache):
    """The cache of a batch whose rows may differ in length and in blocks.

    For each chunk of tokens: `admit` its positions, call the model with the masks that this gives, then
    `evict` what has ended. A layer's entries stand in no order that matters: every mask is made from their
    positions. Layers with a sliding window also give up what lies behind it.
    """

    def __init__(self, config: Any) -> None:
        self._types = layer_types(config)
        self._windows = windows(config)
        self._positions: dict[str, torch.Tensor] = {}
        self._own = [_Layer() for _ in self._types]  # type: ignore[no-untyped-call]
        super().__init__(layers=[*self._own])

    def admit(
        self, positions: torch.Tensor, visible_until: torch.Tensor
    ) -> torch.Tensor | dict[str, torch.Tensor]:
        """The masks for a chunk that the model computes next, as its argument `attention_mask`.

        positions: (rows, m), of the chunk's tokens in their texts; -1 for padding. visible_until: (rows, n),
        by position in the row's text, chunk included; of texts still being written with `to_come=1`.
        """
        by_type = {}
        for kind, window in self._windows.items():
            held = self._positions.get(kind, positions[:, :0])
            held = self._positions[kind] = torch.cat((held, positions), dim=1)
            by_type[kind] = _mask(positions, held, visible_until, window)
        return by_type if len(by_type) > 1 else next(iter(by_type.values()))

    def evict(self, visible_until: torch.Tensor, next_positions: torch.Tensor) -> None:
        """Removes what the next token of each row, at `next_positions` (rows,), does not see."""
        following = next_positions[:, None]
        for kind, window in self._windows.items():
            held = self._positions[kind]
            kept = (held != _NOBODY) & (visible_until.gather(1, held.clamp(min=0)) > following)
            if window is not None:
                kept &= following - held < window
            self._keep(kind, kept)

    def forget_from(self, starts: torch.Tensor) -> None:
        """Removes what stands at `starts` (rows,) and behind, so that it can be computed again."""
        for kind, held in self._positions.items():
            self._keep(kind, (held != _NOBODY) & (held < starts[:, None]))

    def keep_rows(self, rows: torch.Tensor) -> None:
        """Keeps the rows with these numbers (n,), in this order."""
        for kind, held in self._positions.items():
            self._positions[kind] = held[rows]
        for layer in self._own:
            layer.keep_rows(rows)

    def _keep(self, kind: str, kept: torch.Tensor) -> None:
        """Of the layers of a kind what `kept` (rows, held) says."""
        if bool(kept.all()):
            return
        most = int(kept.sum(1).max())
        order = torch.argsort(kept.to(torch.int8), dim=1, descending=True, stable=True)[:, :most]
        held = torch.where(kept, self._positions[kind], _NOBODY)
        self._positions[kind] = held.gather(1, order)
        for layer, its_kind in zip(self._own, self._types, strict=True):
            if its_kind == kind:
                layer.take(order)

    def held(self) -> dict[str, torch.Tensor]:
        """By layer type how many tokens each row holds, (rows,)."""
        return {kind: (positions != _NOBODY).sum(1) for kind, positions in self._positions.items()}


class _Layer(DynamicLayer):  # type: ignore[no-untyped-call]
    def take(self, order: torch.Tensor) -> None:
        """Keeps the entries `order`, (rows, kept)."""
        assert self.keys is not None
        assert self.values is not None
        _, heads, _, size = self.keys.shape
        index = order[:, None, :, None].expand(-1, heads, -1, size)
        self.keys, self.values = self.keys.gather(2, index), self.values.gather(2, index)

    def keep_rows(self, rows: torch.Tensor) -> None:
        """Keeps the rows with these numbers, (n,)."""
        assert self.keys is not None
        assert self.values is not None
        self.keys, self.values = self.keys[rows], self.values[rows]


def _mask(
    queries: torch.Tensor, keys: torch.Tensor, visible_until: torch.Tensor, window: int | None
) -> torch.Tensor:
    """Booleans (rows, 1, queries, keys). Padding sees padding: a query that sees nothing gives no number."""
    query, key = queries[:, :, None], keys[:, None, :]
    until = visible_until.gather(1, keys.clamp(min=0))[:, None, :]
    mask = (key <= query) & (query < until) & (key != _NOBODY)
    if window is not None:
        mask &= query - key < window
    return (mask | ((key == _NOBODY) & (query == _NOBODY)))[:, None]
