"""Responses of a batch of prompts, with a KV cache that gives up finished blocks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pipeline.attention.cache import BlockCache
from pipeline.attention.layers import FULL
from pipeline.attention.visibility import BlockTokens, Forgetting, padded, visible_until


@dataclass
class Response:
    """What a model wrote behind its prompt; `held`: tokens in its full layers' cache at each of them."""

    ids: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    is_ended: bool = False


# From logits (rows, vocabulary) the next token of each row, (rows,).
Choose = Callable[[torch.Tensor], torch.Tensor]


def likeliest(logits: torch.Tensor) -> torch.Tensor:
    """The likeliest token of each row."""
    return logits.argmax(-1)


@torch.no_grad()
def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    tokens: BlockTokens,
    forgetting: Forgetting,
    *,
    end: int,
    new_tokens: int,
    choose: Choose = likeliest,
) -> list[Response]:
    """A response to each prompt, up to the token `end`, which is not part of it, or to `new_tokens` tokens.

    model: attends by `attention_mask` (SDPA). A block is dropped once the last token of its memento has been
    computed, which still sees it.
    """
    texts = [list(prompt) for prompt in prompts]
    responses = [Response() for _ in prompts]
    cache = BlockCache(model.config)
    longest = max(map(len, texts))
    positions = torch.full((len(texts), longest), -1)
    for row, text in enumerate(texts):
        positions[row, : len(text)] = torch.arange(len(text))
    ids = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    visible = _visible(texts, tokens, forgetting)
    for _ in range(new_tokens):
        logits = model(
            input_ids=ids.to(model.device),
            position_ids=positions.clamp(min=0).to(model.device),
            attention_mask=cache.admit(positions.to(model.device), visible.to(model.device)),
            past_key_values=cache,
            use_cache=True,
        ).logits
        for row, (response, count) in enumerate(zip(responses, _held(cache), strict=True)):
            if positions[row, 0] >= 0 and response.ids:
                response.held.append(count)
        last = (positions >= 0).sum(1).clamp(min=1) - 1
        following = choose(logits[torch.arange(len(texts)), last.to(logits.device)]).tolist()
        cache.evict(visible.to(model.device), torch.tensor([len(text) for text in texts]).to(model.device))
        changed = False
        positions = torch.full((len(texts), 1), -1)
        ids = torch.zeros((len(texts), 1), dtype=torch.long)
        for row, (response, token) in enumerate(zip(responses, following, strict=True)):
            if response.is_ended:
                continue
            if token == end:
                response.is_ended = True
                continue
            ids[row, 0], positions[row, 0] = token, len(texts[row])
            texts[row].append(token)
            response.ids.append(token)
            changed |= token == tokens.summary_end
        if all(response.is_ended for response in responses):
            break
        # Only the end of a memento changes what is seen of the text before it.
        visible = _visible(texts, tokens, forgetting) if changed else _longer(visible, texts)
    return responses


def _held(cache: BlockCache) -> list[int]:
    held = cache.held()
    return held.get(FULL, next(iter(held.values()))).tolist()


_LATER = 2**40  # of what all of a text sees so far, whose end is not known yet


def _visible(texts: Sequence[Sequence[int]], tokens: BlockTokens, forgetting: Forgetting) -> torch.Tensor:
    longest = max(map(len, texts))
    rows = []
    for text in texts:
        row = visible_until(text, tokens, forgetting, to_come=1)
        rows.append(padded(np.where(row > len(text), _LATER, row), longest))
    return torch.from_numpy(np.stack(rows))


def _longer(visible: torch.Tensor, texts: Sequence[Sequence[int]]) -> torch.Tensor:
    more = max(map(len, texts)) - visible.shape[1]
    visible = torch.nn.functional.pad(visible, (0, max(0, more)), value=_LATER)
    for row, text in enumerate(texts):
        visible[row, len(text) - 1] = _LATER
    return visible
