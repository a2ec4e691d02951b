"""Models of each kind that memento attention knows, small enough for a test."""

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Olmo3Config,
    PreTrainedConfig,
    Qwen3Config,
    Qwen3NextConfig,
)

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
RECURRENT = MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4)
PARTLY_RECURRENT = Qwen3NextConfig(**_SHAPE | {"num_hidden_layers": 4}, head_dim=8, num_experts=2)


def model_of(config: PreTrainedConfig, attention: str = "sdpa", seed: int = 0) -> Any:
    """A model with random weights in float32, in the mode of evaluation."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=torch.float32).eval()
