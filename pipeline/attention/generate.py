"""Responses of a batch of prompts, with a KV cache that gives up finished blocks."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pipeline.attention.cache import BlockCache
from pipeline.attention.layers import FULL
from pipeline.attention.visibility import BlockTokens, Forgetting, padded, visible_until


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
    new_tokens: int,
    choose: Choose = likeliest,
    block_limit: int | None = None,
    restart: bool = False,
) -> list[Response]:
    """A response to each prompt, up to a token of `ends`, which is not part of it, or to `new_tokens` tokens.

    model: attends by `attention_mask` (SDPA). A block is dropped once the last token of its memento has been
    computed, which still sees it. block_limit: tokens after which a block that has not ended is ended.
    restart: once a block is dropped, what follows it is computed again without it, at its old positions, so
    that nothing of the block is left but its memento's words.
    """
    texts = [_Text(number, list(prompt)) for number, prompt in enumerate(prompts)]
    written = list(texts)
    cache = BlockCache(model.config)
    starts = [0] * len(texts)
    visible = _visible(texts, tokens, forgetting)
    for _ in range(new_tokens):
        logits = _computed(model, texts, starts, visible, cache)
        for text, count in zip(texts, _held(cache), strict=True):
            if text.response.ids:
                text.response.held.append(count)
        lengths = torch.tensor([len(text.ids) for text in texts])
        cache.evict(visible.to(model.device), lengths.to(model.device))
        if restart and (again := _behind_dropped(visible, lengths)):
            for text, start in zip(texts, again, strict=True):
                text.response.recomputed += len(text.ids) - start
            cache.forget_from(torch.tensor(again, device=model.device))
            # Rows of which nothing is computed again keep the logits they have.
            anew = _computed(model, texts, again, visible, cache)
            concerned = torch.tensor(again, device=model.device) < lengths.to(model.device)
            logits = torch.where(concerned[:, None], anew, logits)
            cache.evict(visible.to(model.device), lengths.to(model.device))
        following = choose(logits, [text.number for text in texts]).tolist()
        changed = [
            text.take(token, tokens, ends, block_limit) for text, token in zip(texts, following, strict=True)
        ]
        going_on = [at for at, text in enumerate(texts) if not text.response.is_ended]
        if not going_on:
            break
        if len(going_on) < len(texts):
            texts = [texts[at] for at in going_on]
            cache.keep_rows(torch.tensor(going_on, device=model.device))
            visible = visible[going_on]
        # Only the end of a memento changes what is seen of the text before it.
        visible = _visible(texts, tokens, forgetting) if any(changed) else _longer(visible, texts)
        starts = [len(text.ids) - 1 for text in texts]
    return [text.response for text in written]


class _Text:
    """A prompt and what was written behind it; `open`: tokens of the block that has not ended."""

    def __init__(self, number: int, ids: list[int]) -> None:
        self.number, self.ids = number, ids
        self.response = Response()
        self._open: int | None = None

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
    logits: torch.Tensor = model(
        input_ids=ids.to(model.device),
        position_ids=positions.clamp(min=0).to(model.device),
        attention_mask=cache.admit(positions.to(model.device), visible.to(model.device)),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits
    return logits[:, -1]


def _behind_dropped(visible: torch.Tensor, lengths: torch.Tensor) -> list[int]:
    """For each row the end of the block that is dropped now, else the row's length; [] where none is."""
    positions = torch.arange(visible.shape[1])
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


def _visible(texts: Sequence[_Text], tokens: BlockTokens, forgetting: Forgetting) -> torch.Tensor:
    longest = max(len(text.ids) for text in texts)
    rows = []
    for text in texts:
        row = visible_until(text.ids, tokens, forgetting, to_come=1)
        rows.append(padded(np.where(row > len(text.ids), _LATER, row), longest))
    return torch.from_numpy(np.stack(rows))


def _longer(visible: torch.Tensor, texts: Sequence[_Text]) -> torch.Tensor:
    more = max(len(text.ids) for text in texts) - visible.shape[1]
    visible = torch.nn.functional.pad(visible, (0, max(0, more)), value=_LATER)
    for row, text in enumerate(texts):
        visible[row, len(text.ids) - 1] = _LATER
    return visible
