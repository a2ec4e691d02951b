"""Responses of a batch of prompts, with a KV cache that gives up finished blocks."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pipeline.attention.cache import BlockCache
from pipeline.attention.layers import FULL
from pipeline.attention.visibility import BlockTokens, Forgetting, visible_until


@dataclass
class Response:
    """What a model wrote behind its prompt.

    held: tokens in its full layers' cache while each of `ids` was computed, but the last, which need not be.
    forced_ends: blocks that were ended because they had reached the limit. recomputed: tokens that were
    computed a second time, without the blocks before them.
    """

    ids: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    is_ended: bool = False
    forced_ends: int = 0
    recomputed: int = 0


# From logits (n, vocabulary) of the rows with these numbers the next token of each, (n,).
Choose = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]


def likeliest(logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """The likeliest token of each row."""
    return logits.argmax(-1)


@torch.no_grad()
def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    tokens: BlockTokens,
    forgetting: Forgetting,
    *,
    ends: Collection[int],
    new_tokens: int | Sequence[int],
    choose: Choose = likeliest,
    block_limit: int | None = None,
    restart: bool = False,
) -> list[Response]:
    """A response to each prompt, up to a token of `ends`, which is not part of it, or to `new_tokens` tokens.

    model: attends by `attention_mask` (SDPA). new_tokens: of every response, or of each. A block is dropped
    once the last token of its memento has been computed, which still sees it; markers in a prompt are text
    and make no block. block_limit: tokens after which a block that has not ended is ended. restart: once a
    block is dropped, what follows it is computed again without it, at its old positions, so that nothing of
    the block is left but its memento's words.
    """
    limits = [new_tokens] * len(prompts) if isinstance(new_tokens, int) else new_tokens
    written = [
        _Text(number, list(prompt), limit)
        for number, (prompt, limit) in enumerate(zip(prompts, limits, strict=True))
    ]
    texts = [text for text in written if not text.is_done]
    cache = BlockCache(model.config)
    starts = [0] * len(texts)
    visible = _visible(texts, tokens, forgetting, model.device)
    while texts:
        logits = _computed(model, texts, starts, visible, cache)
        for text, count in zip(texts, _held(cache), strict=True):
            if text.response.ids:
                text.response.held.append(count)
        lengths = torch.tensor([len(text.ids) for text in texts], device=model.device)
        cache.evict(visible, lengths)
        if restart and (again := _behind_dropped(visible, lengths)):
            for text, start in zip(texts, again, strict=True):
                text.response.recomputed += len(text.ids) - start
            concerned = torch.tensor(again, device=model.device)
            cache.forget_from(concerned)
            # Rows of which nothing is computed again keep the logits they have.
            anew = _computed(model, texts, again, visible, cache)
            logits = torch.where((concerned < lengths)[:, None], anew, logits)
            cache.evict(visible, lengths)
        following = choose(logits, [text.number for text in texts]).tolist()
        changed = [
            text.take(token, tokens, ends, block_limit) for text, token in zip(texts, following, strict=True)
        ]
        going_on = [at for at, text in enumerate(texts) if not text.is_done]
        if len(going_on) < len(texts):
            texts = [texts[at] for at in going_on]
            rows = torch.tensor(going_on, device=model.device, dtype=torch.long)
            cache.keep_rows(rows)
            visible = visible[rows]
        # Only the end of a memento changes what is seen of the text before it.
        if any(changed) or any(len(text.ids) > visible.shape[1] for text in texts):
            visible = _visible(texts, tokens, forgetting, model.device)
        starts = [len(text.ids) - 1 for text in texts]
    return [text.response for text in written]


class _Text:
    """The first `prompt` of `ids`, and what was written behind them, which alone has blocks."""

    def __init__(self, number: int, ids: list[int], limit: int) -> None:
        self.number, self.ids, self.prompt = number, ids, len(ids)
        self.response = Response()
        self._limit = limit
        self._open: int | None = None  # tokens of the block that has not ended

    @property
    def is_done(self) -> bool:
        return self.response.is_ended or len(self.response.ids) >= self._limit

    def take(self, token: int, tokens: BlockTokens, ends: Collection[int], block_limit: int | None) -> bool:
        """Adds a token, or the one that is forced; whether a memento may have ended."""
        if self._open is not None and token != tokens.block_end and self._open == block_limit:
            token = tokens.block_end
            self.response.forced_ends += 1
        if token in ends:
            self.response.is_ended = True
            return False
        if token == tokens.block_start:
            self._open = 0
        elif token == tokens.block_end:
            self._open = None
        elif self._open is not None:
            self._open += 1
        self.ids.append(token)
        self.response.ids.append(token)
        return token == tokens.summary_end


# Most pairs of query and key, of all rows, that a mask has: 64 MiB. More tokens are computed in chunks.
MOST_PAIRS = 2**26


def _computed(
    model: Any, texts: Sequence[_Text], starts: Sequence[int], visible: torch.Tensor, cache: BlockCache
) -> torch.Tensor:
    """Logits behind each text, (rows, vocabulary); what begins at `starts` is computed into the cache."""
    longest = max(len(text.ids) - start for text, start in zip(texts, starts, strict=True))
    ids = torch.zeros((len(texts), longest), dtype=torch.long)
    positions = torch.full((len(texts), longest), -1)
    for row, (text, start) in enumerate(zip(texts, starts, strict=True)):
        # Padding goes before, so that every row's last token stands in the last column.
        size = len(text.ids) - start
        ids[row, longest - size :] = torch.tensor(text.ids[start:])
        positions[row, longest - size :] = torch.arange(start, start + size)
    ids, positions = ids.to(model.device), positions.to(model.device)
    next_positions = torch.tensor(starts, device=model.device)
    queries = max(1, MOST_PAIRS // (len(texts) * (cache.columns + longest)))
    for first in range(0, longest, queries):
        chunk = positions[:, first : first + queries]
        if first:
            cache.evict(visible, next_positions)  # what has left the window of layers that slide
        logits: torch.Tensor = model(
            input_ids=ids[:, first : first + queries],
            position_ids=chunk.clamp(min=0),
            attention_mask=cache.admit(chunk, visible),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        next_positions = torch.maximum(next_positions, chunk[:, -1] + 1)
    return logits[:, -1]


def _behind_dropped(visible: torch.Tensor, lengths: torch.Tensor) -> list[int]:
    """For each row the end of the block that is dropped now, else the row's length; [] where none is."""
    positions = torch.arange(visible.shape[1], device=visible.device)
    dropped = (visible == lengths[:, None]) & (positions < lengths[:, None])
    if not bool(dropped.any()):
        return []
    last = torch.where(dropped, positions, -1).amax(1)
    starts: list[int] = torch.where(last >= 0, last + 1, lengths).tolist()
    return starts


def _held(cache: BlockCache) -> list[int]:
    held = cache.held()
    counts: list[int] = held.get(FULL, next(iter(held.values()))).tolist()
    return counts


_LATER = 2**40  # of what all of a text sees so far, whose end is not known yet
_ROOM = 256  # tokens that may follow before the vectors are made anew


def _visible(
    texts: Sequence[_Text], tokens: BlockTokens, forgetting: Forgetting, device: torch.device
) -> torch.Tensor:
    """`visible_until` of each text, (rows, n), also of tokens that are still to come."""
    longest = max((len(text.ids) for text in texts), default=0)
    visible = np.full((len(texts), longest + _ROOM), _LATER)
    for row, text in enumerate(texts):
        so_far = visible_until(text.ids, tokens, forgetting, prompt=text.prompt, to_come=1)
        visible[row, : len(so_far)] = np.where(so_far > len(so_far), _LATER, so_far)
    return torch.from_numpy(visible).to(device)
