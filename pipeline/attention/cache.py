"""A KV cache that gives up finished blocks: entries are removed, and the others keep their positions."""

from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from pipeline.attention.layers import layer_types, windows

_NOBODY = -1  # the position of padding, and of what has been given up and not been moved over yet
ROOM = 256  # columns that a layer grows by
# Of a sliding window, which gives up a token at every token: the share that comes together before any moves.
_SHARE_OF_WINDOW = 1 / 8


class BlockCache(Cache):
    """The cache of a batch whose rows may differ in length and in blocks.

    For each chunk of tokens: `admit` its positions, call the model with the masks that this gives, then
    `evict` what has ended. A layer's entries stand in no order that matters: every mask is made from their
    positions. Layers with a sliding window also give up what lies behind it.

    Rows stand in one tensor, as wide as the row that holds the most. What a row gives up is seen by nobody
    from then on; entries are moved together only where all rows then need fewer columns, so that a token that
    ends no block moves nothing, and memory is never more than that of the longest row for each.
    """

    def __init__(self, config: Any) -> None:
        self._types = layer_types(config)
        self._windows = windows(config)
        self._positions: dict[str, torch.Tensor] = {}
        self._own = [_Layer() for _ in self._types]
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

    @property
    def columns(self) -> int:
        """Places for tokens that each row has in the widest layers."""
        return max((held.shape[1] for held in self._positions.values()), default=0)

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
        self._positions[kind] = torch.where(kept, self._positions[kind], _NOBODY)
        most = int(kept.sum(1).max())
        if kept.shape[1] - most <= int((self._windows[kind] or 0) * _SHARE_OF_WINDOW):
            return
        order = torch.argsort(kept.to(torch.int8), dim=1, descending=True, stable=True)[:, :most]
        self._positions[kind] = self._positions[kind].gather(1, order)
        for layer, its_kind in zip(self._own, self._types, strict=True):
            if its_kind == kind:
                layer.take(order)

    def held(self) -> dict[str, torch.Tensor]:
        """By layer type how many tokens each row holds, (rows,)."""
        return {kind: (positions != _NOBODY).sum(1) for kind, positions in self._positions.items()}


class _Layer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values at the front of buffers with room: a token is added without moving the others."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._buffers: list[torch.Tensor] = []  # of keys, and of values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adds a chunk's keys and values, each (rows, heads, m, head); all that are held."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        chunk = (key_states, value_states)
        held = self.get_seq_length()
        end = held + key_states.shape[2]
        if not self._buffers or end > self._buffers[0].shape[2]:
            larger = [more.new_empty((*more.shape[:2], end + ROOM, more.shape[3])) for more in chunk]
            for buffer, smaller in zip(larger, self._buffers, strict=False):
                buffer[:, :, :held] = smaller[:, :, :held]
            self._buffers = larger
        for buffer, more in zip(self._buffers, chunk, strict=True):
            buffer[:, :, held:end] = more
        return self._show(end)

    def take(self, order: torch.Tensor) -> None:
        """Keeps the entries `order`, (rows, kept)."""
        # With room behind them, filled with whatever is there: nobody looks.
        columns = torch.nn.functional.pad(order, (0, ROOM))[:, None, :, None]
        self._buffers = [
            buffer.gather(2, columns.expand(-1, buffer.shape[1], -1, buffer.shape[3]))
            for buffer in self._buffers
        ]
        self._show(order.shape[1])

    def keep_rows(self, rows: torch.Tensor) -> None:
        """Keeps the rows with these numbers, (n,)."""
        held = self.get_seq_length()
        self._buffers = [buffer[rows] for buffer in self._buffers]
        self._show(held)

    def _show(self, held: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys, self.values = (buffer[:, :, :held] for buffer in self._buffers)
        return self.keys, self.values


def _mask(
    queries: torch.Tensor, keys: torch.Tensor, visible_until: torch.Tensor, window: int | None
) -> torch.Tensor:
    """Booleans (rows, 1, queries, keys). Padding sees padding: a query that sees nothing gives no number."""
    query, key = queries[:, :, None], keys[:, None, :]
    until = visible_until.gather(1, keys.clamp(min=0))[:, None, :]
    mask = (key <= query) & (query < until) & (key != _NOBODY)
    if window is not None:
        # Not `query - key < window`: the differences would take eight times the memory of the mask.
        mask &= key > query - window
    return (mask | ((key == _NOBODY) & (query == _NOBODY)))[:, None]
