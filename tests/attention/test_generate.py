"""Generation in batches is what one text at a time under the training mask gives."""

import pytest
import torch

from pipeline.attention.generate import generate
from pipeline.attention.hook import take_visible_until
from pipeline.attention.kv_curve import held_tokens
from pipeline.attention.visibility import Forgetting, visible_until
from tests.attention.models import CONFIGS, VOCABULARY, model_of
from tests.attention.test_cache import TEXTS
from tests.attention.test_visibility import TOKENS

END = 30
NEW = 60


def one_by_one(model, prompt: list[int], forgetting: Forgetting) -> list[int]:  # type: ignore[no-untyped-def]
    """The likeliest tokens, each from a forward over the whole text under its mask."""
    text = list(prompt)
    while len(text) < len(prompt) + NEW:
        visible = torch.from_numpy(visible_until(text, TOKENS, forgetting))[None]
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
    together = generate(model, TEXTS, TOKENS, forgetting, end=END, new_tokens=NEW)
    written = [token for response in together for token in response.ids]
    assert any(token in TOKENS for token in written)
    for prompt, response in zip(TEXTS, together, strict=True):
        alone = one_by_one(model, prompt, forgetting)
        assert response.ids == alone
        assert response.is_ended == (len(alone) < NEW)


def test_what_is_held_is_the_curve_of_the_text() -> None:
    model = talkative("llama")
    for prompt, response in zip(
        TEXTS, generate(model, TEXTS, TOKENS, Forgetting(), end=END, new_tokens=NEW), strict=True
    ):
        curve = held_tokens(visible_until([*prompt, *response.ids], TOKENS)).tolist()
        held = curve[len(prompt) :]
        assert response.held == held[: len(response.held)]
        assert len(response.held) >= len(response.ids) - 1
