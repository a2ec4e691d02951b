"""What training computes under the mask is what generation computes with a cache that really forgets."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import MistralConfig

from pipeline.attention.cache import ROOM, BlockCache
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


class Writing(TorchDispatchMode):
    """Counts the bytes of keys and values that are written, whatever is called for it."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.dim() == 4 and not func.is_view and "empty" not in str(func):
            self.bytes += out.nbytes
        return out


def test_a_token_that_ends_no_block_moves_no_other_and_one_that_does_moves_them_once() -> None:
    """Rows of different length; the longest ends a block, then the shortest does, which frees nothing."""
    lengths, new = torch.tensor([150, 3, 70]), 20
    dropped_at = {5: 0, 12: 1}  # step and row
    cache = BlockCache(CONFIGS["llama"])
    visible = torch.full((3, 200), 1_000)
    written, columns = [], []
    for step in range(new):
        longest = 150 if step == 0 else 1
        positions = (lengths + step)[:, None] - torch.arange(longest, 0, -1)
        positions = torch.where(positions < 0, -1, positions)
        chunk = torch.rand(3, 2, longest, 8)
        with Writing() as writing:
            cache.admit(positions, visible)
            for layer in range(2):
                cache.update(chunk, chunk, layer)
            if step in dropped_at:
                row = dropped_at[step]
                visible[row, 1 : lengths[row]] = lengths[row] + step
            cache.evict(visible, lengths + step)
        written.append(writing.bytes)
        columns.append(cache.columns)
    of_a_column = 3 * 2 * 8 * 4 * 2 * 2  # rows, heads, head, bytes, keys and values, layers
    assert written[0] == 150 * of_a_column
    assert {*written[1:5], *written[6:]} == {of_a_column}
    kept = 70 + 5  # by then of the second longest row
    assert written[5] == of_a_column * (1 + kept + ROOM)
    assert columns == [*range(150, 155), *range(kept, kept + new - 5)]


def test_a_layer_grows_by_many_columns_at_a_time_and_keeps_what_it_has() -> None:
    cache = BlockCache(CONFIGS["llama"])
    count = 2 * ROOM + 10
    given = torch.rand(1, 2, count, 8)
    negative = -given
    with Writing() as writing:
        for at in range(count):
            cache.admit(torch.tensor([[at]]), torch.full((1, 1_000), 1_000))
            for layer in range(2):
                keys, values = cache.update(given[:, :, at : at + 1], negative[:, :, at : at + 1], layer)
    assert torch.equal(keys, given)
    assert torch.equal(values, negative)
    of_both_layers = 2 * (keys.nbytes + values.nbytes)
    # Once as they come, and what is held by then each time that a layer grows.
    assert writing.bytes == of_both_layers * (count + (ROOM + 1) + 2 * (ROOM + 1)) // count


def test_what_leaves_a_window_is_hidden_at_once_and_moved_an_eighth_of_it_at_a_time() -> None:
    window, moved = 32, 0
    cache = BlockCache(MistralConfig(sliding_window=window, num_hidden_layers=1))
    for at in range(100):
        chunk = torch.rand(1, 2, 1, 8)
        with Writing() as writing:
            cache.admit(torch.tensor([[at]]), torch.full((1, 100), 1_000))
            cache.update(chunk, chunk, 0)
            cache.evict(torch.full((1, 100), 1_000), torch.tensor([at + 1]))
        moved += writing.bytes > 2 * chunk.nbytes
        # The next token will be one of the window.
        assert cache.held()["sliding_attention"].tolist() == [min(at + 1, window - 1)]
        assert cache.columns <= window - 1 + window // 8
    assert moved == (100 - window) // (window // 8 + 1)
