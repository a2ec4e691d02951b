"""What training computes under the mask is what generation computes with a cache that really forgets."""

import numpy as np
import pytest
import torch

from pipeline.attention.cache import BlockCache
from pipeline.attention.hook import take_visible_until
from pipeline.attention.kv_curve import held_tokens
from pipeline.attention.layers import FULL
from pipeline.attention.visibility import Forgetting, padded, visible_until
from tests.attention.models import CONFIGS, model_of
from tests.attention.test_visibility import TOKENS

S, E, B, D = TOKENS
# Of different length and structure: finished blocks, one that is not, none, and one without a memento.
TEXTS = [
    [0, 1, 2, S, 3, 4, 5, 6, 7, E, B, 8, 9, D, S, 1, 2, E, B, 3, D, 4, 5, 6, S, 7, 7, 7, E, B, 8, D, 9, 1],
    [0, S, 1, 2, 3, E, B, 4, D, S, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5],
    [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4, 3],
    [0, S, 1, E, 2, S, 3, 4, E, B, 5, D, 6],
]


def generated(model, texts, forgetting: Forgetting, first: int):  # type: ignore[no-untyped-def]
    """Logits by text and the number of tokens held, token by token behind a first chunk of `first`."""
    cache = BlockCache(model.config)
    logits = [[] for _ in texts]
    held = [[] for _ in texts]
    longest, at = max(map(len, texts)), 0
    while at < longest:
        end = first if at == 0 else at + 1
        written = [visible_until(text[:end], TOKENS, forgetting, to_come=1) for text in texts]
        visible = torch.from_numpy(np.stack([padded(vector, end) for vector in written]))
        ids = torch.tensor([(text[at:end] + [0] * end)[: end - at] for text in texts])
        positions = torch.arange(at, end).repeat(len(texts), 1)
        for row, text in enumerate(texts):
            positions[row, positions[row] >= len(text)] = -1
        with torch.no_grad():
            given = model(
                input_ids=ids,
                position_ids=positions.clamp(min=0),
                attention_mask=cache.admit(positions, visible),
                past_key_values=cache,
            ).logits
        for row, text in enumerate(texts):
            logits[row] += given[row, : max(0, min(end, len(text)) - at)]
            if at < len(text):
                held[row].append({kind: int(counts[row]) for kind, counts in cache.held().items()})
        cache.evict(visible, torch.tensor([min(end, len(text)) for text in texts]))
        at = end
    return [torch.stack(row) for row in logits], held


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("forgetting", [Forgetting(), Forgetting(1, False), Forgetting(-1)], ids=str)
def test_logits_of_training_are_those_of_generation(name: str, forgetting: Forgetting) -> None:
    model = model_of(CONFIGS[name])
    take_visible_until(model)
    in_batch, _ = generated(model, TEXTS, forgetting, first=3)
    for text, batched in zip(TEXTS, in_batch, strict=True):
        visible = torch.from_numpy(visible_until(text, TOKENS, forgetting))[None]
        with torch.no_grad():
            trained = model(input_ids=torch.tensor([text]), visible_until=visible).logits[0]
        alone, _ = generated(model, [text], forgetting, first=1)
        torch.testing.assert_close(batched, trained, atol=1e-4, rtol=0)
        torch.testing.assert_close(alone[0], trained, atol=1e-4, rtol=0)


def test_the_cache_holds_what_the_curve_says_token_by_token() -> None:
    model = model_of(CONFIGS["llama"])
    for forgetting in (Forgetting(), Forgetting(1, False), Forgetting(-1)):
        _, held = generated(model, TEXTS, forgetting, first=1)
        for text, counts in zip(TEXTS, held, strict=True):
            curve = held_tokens(visible_until(text, TOKENS, forgetting)).tolist()
            assert [count[FULL] for count in counts] == curve


def test_entries_are_removed_from_memory_not_only_hidden() -> None:
    model = model_of(CONFIGS["llama"])
    cache = BlockCache(model.config)
    text = [0, S, *[1] * 20, E, B, 2, D]
    visible = torch.from_numpy(visible_until(text, TOKENS, to_come=1))[None]
    positions = torch.arange(len(text))[None]
    with torch.no_grad():
        model(
            input_ids=torch.tensor([text]),
            position_ids=positions,
            attention_mask=cache.admit(positions, visible),
            past_key_values=cache,
        )
    cache.evict(visible, torch.tensor([len(text)]))
    assert [layer.keys.shape[2] for layer in cache.layers] == [len(text) - 22] * 2


def test_layers_that_slide_hold_no_more_than_their_window() -> None:
    model = model_of(CONFIGS["olmo3"])
    _, held = generated(model, [TEXTS[2]], Forgetting(), first=1)
    assert max(count["sliding_attention"] for count in held[0]) == 6
    assert held[0][-1][FULL] == len(TEXTS[2])
