"""Models of each kind that memento attention knows, small enough for a test."""

from typing import Any

import pytest
import torch
import torch.nn.attention.flex_attention as flex
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Olmo2Config,
    Olmo3Config,
    Phi3Config,
    PreTrainedConfig,
    Qwen3Config,
    Qwen3NextConfig,
    masking_utils,
)
from transformers.integrations.flex_attention import WrappedFlexAttention

VOCABULARY = 40
_SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,  # so that attention is not nearly even
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**_SHAPE),
    "qwen3": Qwen3Config(**_SHAPE, head_dim=8),
    "olmo3": Olmo3Config(
        **_SHAPE | {"num_hidden_layers": 4},
        sliding_window=6,
        layer_types=["sliding_attention", "full_attention"] * 2,
    ),
    "mistral": MistralConfig(**_SHAPE, sliding_window=6),
}
# Of those that do otherwise on the way to their layers.
MORE: dict[str, PreTrainedConfig] = {
    "falcon": FalconConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4),
    "gemma3": Gemma3TextConfig(
        **_SHAPE, head_dim=8, sliding_window=6, layer_types=["sliding_attention", "full_attention"]
    ),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3),
    "olmo2": Olmo2Config(**_SHAPE),
    "phi3": Phi3Config(**_SHAPE | {"pad_token_id": 0}, sliding_window=6),
}
RECURRENT = MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4)
PARTLY_RECURRENT = Qwen3NextConfig(**_SHAPE | {"num_hidden_layers": 4}, head_dim=8, num_experts=2)


def model_of(config: PreTrainedConfig, attention: str = "sdpa", seed: int = 0) -> Any:
    """A model with random weights in float32, in the mode of evaluation."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=torch.float32).eval()


def without_compiling(patch: pytest.MonkeyPatch) -> None:
    """FlexAttention as it is written; to compile it for a CPU takes minutes, and fails for some sizes."""
    patch.setattr(flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    patch.setattr(WrappedFlexAttention, "__call__", lambda _wrapped: flex.flex_attention)

    def uncompiled(*arguments: Any, _compile: bool, **more: Any) -> Any:
        return flex.create_block_mask(*arguments, **more)

    patch.setattr(masking_utils, "create_block_mask", uncompiled)
