"""Dense masks and tiles say the same, and models do as they say."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from pipeline.attention.dense import dense_mask
from pipeline.attention.hook import take_visible_until
from pipeline.attention.layers import UnsupportedModel
from pipeline.attention.tiles import tiled_mask
from pipeline.attention.visibility import FORGET_NOTHING, Forgetting, packed, padded, visible_until
from tests.attention.models import (
    CONFIGS,
    MORE,
    PARTLY_RECURRENT,
    RECURRENT,
    VOCABULARY,
    model_of,
    without_compiling,
)
from tests.attention.test_visibility import DOCUMENTS, FORGETTINGS, TOKENS

WINDOWS = st.one_of(st.none(), st.integers(1, 20))


@st.composite
def rows(draw: st.DrawFn, multiple: int = 8) -> torch.Tensor:
    """visible_until of one or two rows of packed, padded documents."""
    vectors = [
        packed(visible_until(ids, TOKENS, draw(FORGETTINGS)) for ids in draw(st.lists(DOCUMENTS, max_size=3)))
        for _ in range(draw(st.integers(1, 2)))
    ]
    length = max(1, -(-max(map(len, vectors)) // multiple)) * multiple
    return torch.from_numpy(np.stack([padded(vector, length) for vector in vectors]))


@given(rows(), WINDOWS)
def test_a_dense_mask_is_the_definition_for_every_pair(visible: torch.Tensor, window: int | None) -> None:
    mask = dense_mask(visible, window)[:, 0].tolist()
    for row, until in zip(mask, visible.tolist(), strict=True):
        for query, seen in enumerate(row):
            for key, sees in enumerate(seen):
                assert sees == (key <= query < until[key] and (window is None or query - key < window))


@settings(deadline=None)
@given(rows(), WINDOWS)
def test_tiles_expand_to_the_dense_mask(visible: torch.Tensor, window: int | None) -> None:
    dense = dense_mask(visible, window)
    tiles = tiled_mask(visible, window, tile=8)
    some, every = (
        tile_map(*pair, visible.shape[1] // 8)
        for pair in (
            (tiles.kv_num_blocks, tiles.kv_indices),
            (tiles.full_kv_num_blocks, tiles.full_kv_indices),
        )
    )
    shape = (*visible.shape, visible.shape[1])
    pairs = create_mask(tiles.mask_mod, shape[0], 1, shape[1], shape[1], device="cpu")
    assert (expanded(some) & pairs | expanded(every)).equal(dense)
    assert not (some & every).any()


@settings(deadline=None)
@given(rows())
def test_no_tile_is_computed_in_vain_where_there_is_no_window(visible: torch.Tensor) -> None:
    tiles = tiled_mask(visible, tile=8)
    count = visible.shape[1] // 8
    live = tile_map(tiles.kv_num_blocks, tiles.kv_indices, count) | tile_map(
        tiles.full_kv_num_blocks, tiles.full_kv_indices, count
    )
    by_tile = dense_mask(visible).unflatten(-1, (count, 8)).unflatten(-3, (count, 8))
    assert live.equal(by_tile.any(-1).any(-2))


def tile_map(counts: torch.Tensor, numbers: torch.Tensor, tiles: int) -> torch.Tensor:
    wanted = torch.zeros((*counts.shape, tiles), dtype=torch.bool)
    for place in np.ndindex(*counts.shape):
        wanted[place][numbers[place][: counts[place]].long()] = True
    return wanted


def expanded(tiles: torch.Tensor) -> torch.Tensor:
    return tiles.repeat_interleave(8, -1).repeat_interleave(8, -2)


@pytest.mark.slow
def test_flex_attention_gives_what_the_dense_mask_gives() -> None:
    generator = torch.Generator().manual_seed(0)
    visible = torch.from_numpy(padded(packed(visible_until(ids, TOKENS) for ids in long_texts()), 512))[None]
    query, key, value = (torch.randn(1, 4, 512, 16, generator=generator) for _ in range(3))
    compiled = torch.compile(flex_attention)
    for window in (None, 40):
        dense = scaled_dot_product_attention(query, key, value, attn_mask=dense_mask(visible, window))
        tiles = compiled(query, key, value, block_mask=tiled_mask(visible, window))
        torch.testing.assert_close(tiles, dense, atol=1e-5, rtol=1e-5)


def long_texts() -> list[list[int]]:
    block = [TOKENS.block_start, *[1] * 60, TOKENS.block_end, TOKENS.summary_start, 2, 3, TOKENS.summary_end]
    return [[0] * 20 + block * 3, [0] * 9 + block * 2 + block[:30]]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("attention", ["sdpa", "flex_attention"])
def test_a_model_attends_as_the_vector_says(
    name: str, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that nobody sees any more makes no difference; before, it does."""
    without_compiling(monkeypatch)
    model = model_of(CONFIGS[name], attention)
    take_visible_until(model)
    ids = torch.randint(0, VOCABULARY, (1, 128), generator=torch.Generator().manual_seed(1))
    others = ids.clone()
    others[0, 3] = (ids[0, 3] + 1) % VOCABULARY
    # With nothing carried on by others: all but token 3 see from token 5 on.
    visible = torch.full((1, 128), 128)
    visible[0, :5] = torch.tensor([5, 5, 5, 4, 5])
    with torch.no_grad():
        one, other = (model(input_ids=each, visible_until=visible).logits for each in (ids, others))
        plain = model(input_ids=ids).logits
    assert one[0, 4:].equal(other[0, 4:])
    assert not torch.allclose(one[0, 5:], plain[0, 5:], atol=1e-3)


@pytest.mark.parametrize("name", CONFIGS)
def test_forgetting_nothing_is_plain_attention(name: str) -> None:
    model = model_of(CONFIGS[name])
    take_visible_until(model)
    ids = torch.tensor([long_texts()[1]])
    visible = torch.from_numpy(visible_until(ids[0], TOKENS, FORGET_NOTHING))[None]
    with torch.no_grad():
        torch.testing.assert_close(
            model(input_ids=ids, visible_until=visible).logits, model(input_ids=ids).logits
        )


def test_packed_texts_get_what_each_gets_alone() -> None:
    texts = long_texts()
    for name, config in CONFIGS.items():
        model = model_of(config)
        take_visible_until(model)
        alone = [visible_until(ids, TOKENS, Forgetting(1)) for ids in texts]
        positions = torch.cat([torch.arange(len(ids)) for ids in texts])[None]
        ids = torch.tensor([[token for text in texts for token in text]])
        with torch.no_grad():
            together = model(
                input_ids=ids, position_ids=positions, visible_until=torch.from_numpy(packed(alone))[None]
            ).logits[0]
            single = [
                model(input_ids=torch.tensor([text]), visible_until=torch.from_numpy(one)[None]).logits[0]
                for text, one in zip(texts, alone, strict=True)
            ]
        torch.testing.assert_close(together, torch.cat(single), atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize("name", MORE)
def test_models_that_hand_their_masks_on_in_other_ways_forget_too(name: str) -> None:
    model = model_of(MORE[name])
    attention = take_visible_until(model)
    ids = torch.randint(0, VOCABULARY, (1, 24), generator=torch.Generator().manual_seed(1))
    seen = torch.full((1, 24), 24)
    forgotten = seen.clone()
    forgotten[:, 4:9] = 12
    with attention.in_every_layer():
        some = model(input_ids=ids, visible_until=forgotten).logits
    every, plain = model(input_ids=ids, visible_until=seen).logits, model(input_ids=ids).logits
    torch.testing.assert_close(every, plain)
    torch.testing.assert_close(some[:, :12], plain[:, :12])
    assert (some - plain)[:, 12].abs().max() > 1e-3


def test_a_forward_without_masks_is_told() -> None:
    model = model_of(CONFIGS["llama"])
    attention = take_visible_until(model)
    ids, visible = torch.zeros((1, 8), dtype=torch.long), torch.full((1, 8), 8)
    with attention.in_every_layer():
        model(input_ids=ids, visible_until=visible)
    with (
        pytest.raises(UnsupportedModel, match="LlamaForCausalLM: was computed without masks"),
        attention.in_every_layer(),
    ):
        model(input_ids=ids)
    model.model.layers[1].self_attn.register_forward_pre_hook(without_mask, with_kwargs=True, prepend=True)
    with (
        pytest.raises(
            UnsupportedModel, match="LlamaForCausalLM: 1 of 2 attention layers were computed without"
        ),
        attention.in_every_layer(),
    ):
        model(input_ids=ids, visible_until=visible)


def test_layers_that_are_computed_again_without_masks_are_told() -> None:
    model = model_of(CONFIGS["llama"]).train()
    attention = take_visible_until(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    ids, visible = torch.zeros((1, 8), dtype=torch.long), torch.full((1, 8), 8)
    for _ in range(2):
        with attention.in_every_layer():
            loss = model(input_ids=ids, visible_until=visible, labels=ids, use_cache=False).loss
        loss.backward()
    with attention.in_every_layer():
        loss = model(input_ids=ids, visible_until=visible, labels=ids, use_cache=False).loss
    handle = model.model.layers[1].self_attn.register_forward_pre_hook(
        # Without any PyTorch would say so itself.
        lambda _layer, args, kwargs: (args, {**kwargs, "attention_mask": kwargs["attention_mask"].clone()}),
        with_kwargs=True,
        prepend=True,
    )
    loss.backward()
    handle.remove()
    with (
        pytest.raises(UnsupportedModel, match="1 of 2 attention layers were computed without masks"),
        attention.in_every_layer(),
    ):
        model(input_ids=ids, visible_until=visible, labels=ids, use_cache=False)


def without_mask(_layer: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return args, {**kwargs, "attention_mask": None}


def test_a_model_whose_tokens_mix_before_attention_is_refused() -> None:
    model = model_of(CONFIGS["llama"])
    model.model.embed_tokens.register_forward_hook(lambda _module, _ids, found: found + found.roll(1, 1))
    with pytest.raises(UnsupportedModel, match="llama: tokens see what its attention mask hides"):
        take_visible_until(model)


def test_a_model_that_attends_otherwise_in_training_is_refused() -> None:
    model = model_of(CONFIGS["llama"])
    layer = model.model.layers[0].self_attn
    layer.register_forward_pre_hook(
        lambda module, args, kwargs: without_mask(module, args, kwargs) if module.training else None,
        with_kwargs=True,
    )
    with pytest.raises(UnsupportedModel, match="llama: tokens see what its attention mask hides"):
        take_visible_until(model)


def test_a_model_that_does_not_go_by_positions_is_refused() -> None:
    """Its texts would stand elsewhere in a row of several than alone."""
    model = model_of(MORE["gpt2"])
    attend = model.transformer.forward
    model.transformer.forward = lambda *ids, position_ids=None, **inputs: attend(*ids, **inputs)
    with pytest.raises(UnsupportedModel, match="gpt2: a text gets something else alone than in one row"):
        take_visible_until(model)


def test_what_cannot_forget_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match="mamba: attn_implementation is 'eager'"):
        take_visible_until(model_of(RECURRENT, "eager"))
    with pytest.raises(UnsupportedModel, match="qwen3_next: has layers of the kind linear_attention"):
        take_visible_until(model_of(PARTLY_RECURRENT))


def test_a_model_that_does_not_heed_its_mask_is_refused() -> None:
    model = model_of(CONFIGS["llama"])
    attend = model.model.forward
    model.model.forward = lambda attention_mask, **inputs: attend(**inputs)
    with pytest.raises(UnsupportedModel, match="llama: tokens see what its attention mask hides"):
        take_visible_until(model)
    assert not model.model._forward_pre_hooks
