"""How unsure a model is at places of a prompt: read at the right token, or refused."""

import math
from typing import Any

import pytest

from pipeline.llm.model import Uncertainty
from pipeline.llm.uncertainty import uncertainties

TEXT = "Problem: x? We get 4 ✓ and stop."


def completion(*tokens: str | None, sure: dict[int, float] | None = None) -> dict[str, Any]:
    """A prompt of these tokens, each with probability 0.5 or what `sure` says; None is the unknown first."""
    told: list[dict[str, Any] | None] = []
    for number, token in enumerate(tokens):
        share = (sure or {}).get(number, 0.5)
        told.append(token and {str(number): {"logprob": math.log(share), "decoded_token": token}})  # type: ignore[arg-type]
    return {"prompt_token_ids": list(range(len(tokens))), "prompt_logprobs": told}


def test_a_place_is_read_at_the_first_token_that_starts_there_or_later():
    tokens = (None, "user\n", "Problem:", " x?", " We", " get 4", " ✓", " and", " stop.", "<end>")
    place = TEXT.index(" We")
    told = completion(*tokens, sure={4: 1.0, 7: 1.0})
    first, second, third = uncertainties(Uncertainty(TEXT, (place, place + 1, TEXT.index(" and"))), told)
    assert first == third == pytest.approx(0.0, abs=1e-4)
    assert second == pytest.approx(0.5 * math.log(2) - 0.5 * math.log(0.5 / 1000))


def test_a_character_that_several_tokens_share_is_passed_over():
    tokens = (None, "Problem:", " x?", " We", " get 4", " \ufffd", "\ufffd", " and", " stop.")
    told = completion(*tokens, sure={7: 1.0})
    (nats,) = uncertainties(Uncertainty(TEXT, (TEXT.index(" and"),)), told)
    assert nats == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(
    ("told", "reads"),
    [
        ({}, "only vLLM gives"),
        ({"prompt_logprobs": [None], "prompt_token_ids": []}, "only vLLM gives"),
        (completion(None, "Another", " prompt"), "spell the prompt's beginning"),
        (completion(None, TEXT[:22], " something else altogether"), "do not spell the prompt up to"),
        (completion(None, TEXT), "do not spell the prompt up to"),
    ],
)
def test_tokens_that_are_not_the_prompts_are_refused(told: dict[str, Any], reads: str):
    with pytest.raises(ValueError, match=reads):
        uncertainties(Uncertainty(TEXT * 3, (TEXT.index(" and"),)), told)


def test_a_character_that_the_tokenizer_spells_in_another_form_is_passed_over():
    text = "Problem: 5 \u2126 of it. We get 4."
    told = completion(None, "Problem:", " 5", " \u03a9", " of it.", " We", " get 4.", sure={5: 1.0})
    (nats,) = uncertainties(Uncertainty(text, (text.index(" We"),)), told)
    assert nats == pytest.approx(0.0, abs=1e-4)
