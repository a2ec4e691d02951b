"""Every causal architecture of Transformers forgets, or is refused; docs/architectures.md says which."""

import pytest

from tests.attention.architectures import PAGE, outcome, page, tried


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
def test_the_page_of_architectures_says_what_the_installed_transformers_do() -> None:
    assert page(tried()) == PAGE.read_text(encoding="utf-8"), "run python -m tests.attention.architectures"


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["llama", "qwen3", "falcon", "gemma3_text", "gpt2", "deepseek_v3", "mixtral"]
)
def test_known_architectures_forget(kind: str) -> None:
    """With latent keys, experts, windows, and other ways for a mask from the model to its layers."""
    assert outcome(kind, "sdpa").works


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("qwen3_next", "has layers of the kind linear_attention"),
        ("recurrent_gemma", "tokens see what its attention mask hides"),
        ("mbart", "a text gets something else alone"),
        ("gptj", "Transformers has no sdpa for it"),
    ],
)
def test_what_cannot_forget_is_refused_with_its_reason(kind: str, why: str) -> None:
    found = outcome(kind, "sdpa")
    assert found.works is False
    assert found.why_not.startswith(why)
