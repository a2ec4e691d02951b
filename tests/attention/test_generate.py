"""Generation in batches is what one text at a time under the training mask gives."""

from collections.abc import Sequence

import pytest
import torch

from pipeline.attention.cache import BlockCache
from pipeline.attention.generate import Response, generate
from pipeline.attention.hook import take_visible_until
from pipeline.attention.kv_curve import held_tokens
from pipeline.attention.sampling import Sampler
from pipeline.attention.visibility import Forgetting, visible_until
from tests.attention.models import CONFIGS, VOCABULARY, model_of
from tests.attention.test_cache import TEXTS
from tests.attention.test_visibility import TOKENS

END = 30
NEW = 60
BLOCK = [TOKENS.block_start, 5, 6, 7, TOKENS.block_end, TOKENS.summary_start, 8, 9, 1, TOKENS.summary_end]


def one_by_one(model, prompt: list[int], forgetting: Forgetting) -> list[int]:  # type: ignore[no-untyped-def]
    """The likeliest tokens, each from a forward over the whole text under its mask."""
    text = list(prompt)
    while len(text) < len(prompt) + NEW:
        visible = torch.from_numpy(visible_until(text, TOKENS, forgetting, prompt=len(prompt)))[None]
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([text]), visible_until=visible).logits[0, -1].argmax())
        if token == END:
            break
        text.append(token)
    return text[len(prompt) :]


def talkative(name: str):  # type: ignore[no-untyped-def]
    """A model that writes many special tokens, and ends only now and then."""
    model = model_of(CONFIGS[name], seed=3)
    take_visible_until(model)
    bias = torch.zeros(VOCABULARY)
    bias[list(TOKENS)] = 6.0
    model.lm_head.register_forward_hook(lambda _module, _inputs, logits: logits + bias)
    return model


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("forgetting", [Forgetting(), Forgetting(1, False), Forgetting(-1)], ids=str)
def test_a_batch_gives_what_each_prompt_gives_alone(name: str, forgetting: Forgetting) -> None:
    model = talkative(name)
    together = generate(model, TEXTS, TOKENS, forgetting, ends=[END], new_tokens=NEW)
    written = [token for response in together for token in response.ids]
    assert any(token in TOKENS for token in written)
    for prompt, response in zip(TEXTS, together, strict=True):
        alone = one_by_one(model, prompt, forgetting)
        assert response.ids == alone
        assert response.is_ended == (len(alone) < NEW)


def test_what_is_held_is_the_curve_of_the_text() -> None:
    model = talkative("llama")
    for prompt, response in zip(
        TEXTS, generate(model, TEXTS, TOKENS, Forgetting(), ends=[END], new_tokens=NEW), strict=True
    ):
        curve = held_tokens(visible_until([*prompt, *response.ids], TOKENS, prompt=len(prompt))).tolist()
        held = curve[len(prompt) :]
        assert response.held == held[: len(response.held)]
        assert len(response.held) >= len(response.ids) - 1


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_restart_leaves_nothing_of_a_block_but_its_mementos_words(name: str) -> None:
    """Each token is what a forward over the text without its finished blocks gives, positions kept."""
    model = talkative(name)
    prompts = [[7, 8, 9], [7, 9], [11, 12, 13, 14]]
    responses = generate(model, prompts, TOKENS, Forgetting(), ends=[END], new_tokens=NEW, restart=True)
    assert any(response.recomputed for response in responses)
    for prompt, response in zip(prompts, responses, strict=True):
        text = list(prompt)
        while len(text) < len(prompt) + NEW:
            kept = (visible_until(text, TOKENS, prompt=len(prompt), to_come=1) > len(text)).nonzero()[0]
            ids, positions = torch.tensor([text])[:, kept], torch.from_numpy(kept)[None]
            with torch.no_grad():
                token = int(model(input_ids=ids, position_ids=positions).logits[0, -1].argmax())
            if token == END:
                break
            text.append(token)
        assert response.ids == text[len(prompt) :]


def test_a_block_that_never_ends_is_ended_at_the_limit() -> None:
    written = iter([TOKENS.block_start, *[5] * 30])

    def never_ending(logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        return torch.tensor([next(written)])

    model = model_of(CONFIGS["llama"])
    (response,) = generate(
        model, [[7, 8]], TOKENS, Forgetting(), ends=[END], new_tokens=20, choose=never_ending, block_limit=6
    )
    assert response.ids[:8] == [TOKENS.block_start, *[5] * 6, TOKENS.block_end]
    assert response.forced_ends == 1


def test_a_row_draws_the_same_tokens_whatever_stands_beside_it() -> None:
    model = talkative("qwen3")
    seeds = [11, 12, 13]

    def drawn(rows: list[int]) -> list[list[int]]:
        sampler = Sampler(1.0, 0.9, [seeds[row] for row in rows])
        prompts = [TEXTS[row] for row in rows]
        return [
            response.ids
            for response in generate(
                model, prompts, TOKENS, Forgetting(), ends=[END], new_tokens=NEW, choose=sampler
            )
        ]

    together = drawn([0, 1, 2])
    assert together == [drawn([row])[0] for row in range(3)]
    assert together[0] != drawn([1])[0]


def test_top_p_draws_only_from_the_likeliest() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).expand(500, 4)
    drawn = Sampler(1.0, 0.75, range(500))(logits, range(500))
    assert set(drawn.tolist()) == {0, 1}
    assert 0.5 < float((drawn == 0).float().mean()) < 0.75, "shares stay 5 to 3"
    cold = Sampler(0.01, 1.0, range(500))(logits, range(500))
    assert set(cold.tolist()) == {0}


def test_a_prompts_markers_are_text_in_generation() -> None:
    """A block that a prompt opens is neither limited nor dropped, whatever the response writes."""
    prompt, response = [7, TOKENS.block_start, 8, 9], [5, 6, *TOKENS[1:], 5, 6]
    written = iter(response)

    def as_told(logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        return torch.tensor([next(written)])

    (made,) = generate(
        model_of(CONFIGS["llama"]),
        [prompt],
        TOKENS,
        Forgetting(),
        ends=[END],
        new_tokens=len(response),
        choose=as_told,
        block_limit=1,
        restart=True,
    )
    assert made.ids == response
    assert made.held == [len(prompt) + count for count in range(1, len(response))]
    assert (made.forced_ends, made.recomputed) == (0, 0)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_prompts_computed_in_chunks_give_what_they_give_at_once(
    name: str, restart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with padding, windows of six tokens, and what is computed again where a block was dropped."""
    model = talkative(name)
    pairs: list[int] = []

    def watch(_module, _inputs, named) -> None:  # type: ignore[no-untyped-def]
        masks = named["attention_mask"]
        found = [*masks.values()] if isinstance(masks, dict) else [masks]
        pairs.extend(mask.numel() for mask in found if mask.shape[2] > 1)

    model.register_forward_pre_hook(watch, with_kwargs=True)

    def made(most: int) -> tuple[list[Response], list[torch.Tensor]]:
        monkeypatch.setattr("pipeline.attention.generate.MOST_PAIRS", most)
        logits: list[torch.Tensor] = []

        def as_told(found: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
            logits.append(found)
            return torch.tensor([BLOCK[(len(logits) + row) % len(BLOCK)] for row in rows])

        limits = [25, 20, 25, 25]
        responses = generate(
            model, TEXTS, TOKENS, Forgetting(), ends=[END], new_tokens=limits, choose=as_told, restart=restart
        )
        return responses, logits

    at_once, expected = made(10**9)
    longest = max(pairs)
    recomputed = [response.recomputed for response in at_once]
    assert min(recomputed) >= 5 if restart else not any(recomputed)
    for most in (1, 400, 1_500):
        pairs.clear()
        in_chunks, found = made(most)
        assert in_chunks == at_once
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
        assert max(pairs, default=0) <= most < longest


def test_the_cache_is_never_wider_than_its_longest_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """No padding piles up: of prompts, of what only some rows compute again, of rows that are done."""
    seen: list[str] = []
    evict = BlockCache.evict

    def evicting(cache: BlockCache, visible: torch.Tensor, next_positions: torch.Tensor) -> None:
        evict(cache, visible, next_positions)
        (held,) = cache.held().values()
        assert cache.columns == int(held.max()) == cache.layers[0].keys.shape[2]
        seen.append("padding" if int(held.min()) < cache.columns else "")

    monkeypatch.setattr(BlockCache, "evict", evicting)
    limits = [NEW, 9, NEW, 30]
    generate(talkative("llama"), TEXTS, TOKENS, Forgetting(), ends=[END], new_tokens=limits, restart=True)
    assert "padding" in seen


def test_how_long_a_response_may_get_is_its_own() -> None:
    model = talkative("llama")
    alone = [
        generate(model, [prompt], TOKENS, Forgetting(), ends=[END], new_tokens=limit)[0]
        for prompt, limit in zip(TEXTS, (NEW, 0, 7, 1), strict=True)
    ]
    assert [len(response.ids) for response in alone][1:] == [0, 7, 1]
    together = generate(model, TEXTS, TOKENS, Forgetting(), ends=[END], new_tokens=[NEW, 0, 7, 1])
    assert together == alone
    assert not any(response.is_ended for response in together[1:])
    with pytest.raises(ValueError, match="shorter"):
        generate(model, TEXTS, TOKENS, Forgetting(), ends=[END], new_tokens=[5])


def drawn_shares(shares: list[float], **how: float) -> list[float]:
    """How often each token is drawn of a distribution, in 20,000 draws (± 0.004)."""
    logits = torch.log(torch.tensor([shares])).expand(2_000, len(shares))
    sampler = Sampler(**{"temperature": 1.0, "top_p": 1.0, "seeds": range(2_000)} | how)  # type: ignore[arg-type]
    drawn = torch.stack([sampler(logits, range(2_000)) for _ in range(10)])
    return (torch.bincount(drawn.flatten(), minlength=len(shares)) / drawn.numel()).tolist()


SHARES = [0.05, 0.4, 0.25, 0.2, 0.1]


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"top_k": 2}, [1, 2]),
        ({"top_k": 1}, [1]),
        ({"top_k": 50}, [0, 1, 2, 3, 4]),
        ({"min_p": 0.3}, [1, 2, 3]),
        ({"min_p": 1.0}, [1]),
        ({"top_p": 0.6}, [1, 2]),
        ({"top_p": 0.7}, [1, 2, 3]),
        # Of the two likeliest 0.4 is 62 %: without the others it is more than half.
        ({"top_k": 2, "top_p": 0.6}, [1]),
        ({"top_k": 3, "top_p": 0.6}, [1, 2]),
        ({"min_p": 0.6, "top_p": 0.6}, [1]),
    ],
    ids=str,
)
def test_what_is_kept_is_drawn_by_its_shares(how: dict[str, float], kept: list[int]) -> None:
    total = sum(SHARES[token] for token in kept)
    expected = [share / total if token in kept else 0.0 for token, share in enumerate(SHARES)]
    found = drawn_shares(SHARES, **how)
    assert found == pytest.approx(expected, abs=0.015)
    assert [token for token, share in enumerate(found) if share] == kept


def test_a_temperature_sharpens_what_top_k_leaves() -> None:
    found = drawn_shares([0.05, 0.4, 0.25, 0.2, 0.1], temperature=0.5, top_k=2)
    assert found == pytest.approx([0, 0.16 / 0.2225, 0.0625 / 0.2225, 0, 0], abs=0.015)


def test_layers_that_slide_give_up_what_they_have_passed_while_a_prompt_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of(CONFIGS["mistral"])
    widths: list[int] = []
    model.register_forward_pre_hook(
        lambda _module, _inputs, named: widths.append(named["attention_mask"].shape[3]), with_kwargs=True
    )
    monkeypatch.setattr("pipeline.attention.generate.MOST_PAIRS", 400)
    generate(model, [[7] * 100], TOKENS, Forgetting(), ends=[END], new_tokens=3)
    # Chunks of 400 // 100 tokens or a few more, behind five of the window of six.
    assert widths[0] == 4
    assert max(widths) < 100 / 4


def test_hundreds_of_tokens_without_a_memento_are_all_held() -> None:
    def as_told(logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        return torch.full((len(rows),), 5)

    made = generate(
        model_of(CONFIGS["llama"]),
        [[7, 8, 9], [7]],
        TOKENS,
        Forgetting(),
        ends=[END],
        new_tokens=300,
        choose=as_told,
        restart=True,
    )
    assert [response.held for response in made] == [[*range(4, 303)], [*range(2, 301)]]
