"""Which causal architectures of the installed Transformers memento attention can be given to, as a page.

`python -m tests.attention.architectures` writes docs/architectures.md, in some minutes.
"""

import re
import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import transformers
from torch.overrides import TorchFunctionMode
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from pipeline.attention.dense import dense_mask
from pipeline.attention.hook import take_visible_until
from pipeline.attention.layers import UnsupportedModel
from tests.attention.models import VOCABULARY, without_compiling

PAGE = Path(__file__).parents[2] / "docs" / "architectures.md"
KINDS: Mapping[str, str] = dict(sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items()))
IMPLEMENTATIONS = ("sdpa", "flex_attention")
YES = "yes"
# What makes a model small; a config takes of it what it has a default for.
_SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,  # so that attention is not nearly even
    "sliding_window": 6,  # so that a window that is lost makes a difference
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "vocab_size_per_layer_input": VOCABULARY,
    "hidden_size_per_layer_input": 8,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# Where keys and values are made from one small vector.
_LATENT = {
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "kv_lora_rank": 8,
    "q_lora_rank": 16,
    "num_key_value_heads": 4,
}
_OWN: dict[str, dict[str, Any]] = {
    "cohere_compass_text": {"layer_types": ["sliding_attention", "full_attention"]},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "first_k_dense_replace": 1,
        "num_experts_per_tok": 2,
    },
    "gemma3n_text": {"layer_types": ["sliding_attention", "full_attention"], "num_kv_shared_layers": 0},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    # As their published models have.
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"head_dim": 16, "num_heads": 4},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "zaya": {"num_experts_per_tok": 1},
}
_LARGEST = 60_000_000  # weights


class Outcome(NamedTuple):
    """Whether memento attention can be given to a model; None where that could not be tried. Why not."""

    works: bool | None
    why_not: str = ""


def small_config(kind: str) -> PreTrainedConfig:
    """A small config of an architecture, whose layers are of the kinds that they are of by default."""
    default = AutoConfig.for_model(kind)
    small = dict(_SMALL)
    if _has(default, "qk_rope_head_dim"):
        small = {name: value for name, value in (small | _LATENT).items() if name != "head_dim"}
    small = {name: value for name, value in small.items() if _has(default, name)}
    if _has(default, "layer_types"):
        types = [*dict.fromkeys(default.layer_types)]
        small["layer_types"] = types if len(types) > 1 else types * 2
    small |= _OWN.get(kind, {})
    if "layer_types" in small:
        small["num_hidden_layers"] = len(small["layer_types"])
    config: PreTrainedConfig = AutoConfig.for_model(kind, **small)
    config.is_decoder = True
    return config


def _has(config: Any, name: str) -> bool:
    """Whether a config has a value of this name that can be given."""
    attribute = getattr(type(config), type(config).attribute_map.get(name, name), None)
    if isinstance(attribute, property) and attribute.fset is None:
        return False
    try:
        return getattr(config, name, None) is not None
    except Exception:  # of those that differ by layer
        return False


def outcome(kind: str, implementation: str) -> Outcome:
    """What comes of memento attention in a small model of this architecture."""
    try:
        config = small_config(kind)
        with torch.device("meta"):
            shape = AutoModelForCausalLM.from_config(config, attn_implementation=implementation)
        size = sum(each.numel() for each in shape.parameters())
        if size > _LARGEST:
            return Outcome(None, "has parts for images or sound, or was not made small")
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(
            config, attn_implementation=implementation, dtype=torch.float32
        ).eval()
        model.set_attn_implementation("eager")
        model(input_ids=torch.arange(4)[None], use_cache=False)
        model.set_attn_implementation(implementation)
    except Exception as error:
        if "does not support an attention implementation" in str(error):
            return Outcome(False, f"Transformers has no {implementation} for it")
        return Outcome(None, "no small model could be made")
    try:
        attention = take_visible_until(model)
    except UnsupportedModel as error:
        if "cannot be run on CPU" in str(error):
            return Outcome(None, "runs on GPUs only")
        return Outcome(False, _reason(str(error)))
    if implementation == "sdpa":
        with attention.in_every_layer():
            _check_kernels(kind, model)
    return Outcome(True)


@torch.no_grad()
def _check_kernels(kind: str, model: Any) -> None:
    """That PyTorch's own attention is never asked for a pair that a mask hides, whatever the model says."""
    ids = torch.arange(32)[None] % VOCABULARY
    visible = torch.full((1, 32), 32)
    visible[:, 5:11] = 16
    hidden = ~dense_mask(visible)
    with _Kernels() as kernels:
        model(input_ids=ids, position_ids=torch.arange(32)[None], visible_until=visible, use_cache=False)
    for mask in kernels.masks:
        assert mask is not None, f"{kind}: attends without a mask"
        sees = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
        assert not (sees & hidden).any(), f"{kind}: attends to what its mask hides"


class _Kernels(TorchFunctionMode):
    """Keeps the masks that PyTorch's attention is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[torch.Tensor | None] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.nn.functional.scaled_dot_product_attention:
            self.masks.append(kwargs.get("attn_mask", args[3] if len(args) > 3 else None))
        return function(*args, **kwargs)


def _reason(message: str) -> str:
    """What a refusal says, without the model's name and what to do."""
    said = message.partition(": ")[2].partition("; ")[0]
    if "does not support `dropout`" in said:
        return "its config asks for attention dropout, which FlexAttention does not have"
    return re.sub(r"\s*\(\w+: .*", "", said)


def page(outcomes: Mapping[str, Mapping[str, Outcome]]) -> str:
    """What works, what is refused and why, what was not tried. outcomes: by kind and implementation."""
    works = [kind for kind, by in outcomes.items() if any(each.works for each in by.values())]
    refused, untried = defaultdict(list), defaultdict(list)
    for kind, by in outcomes.items():
        if kind in works:
            continue
        tried = [each for each in by.values() if each.works is False]
        where = untried if any(each.works is None for each in by.values()) else refused
        first = next(each for each in by.values() if where is refused or each.works is None)
        assert tried or where is untried
        where[first.why_not].append(kind)
    lines = [
        "# Which models can forget",
        "",
        "`openmementos sft` tries each model before it trains it: that a token makes no difference to those",
        "that its mask hides it from, in evaluation and in training, and that a text in a row of several",
        "gets what it gets alone. A model that fails is refused by name; while one is trained, every forward",
        "is seen to give its masks to every attention layer.",
        "",
        f"Here is what small models with random weights of all {len(outcomes)} causal architectures of",
        f"Transformers {transformers.__version__} make of it, on a CPU. `sdpa` is what CPUs train with,",
        "`flex_attention` what GPUs train with. `python -m tests.attention.architectures` writes this page.",
        "",
        f"## {len(works)} that work",
        "",
        "| model type | class | sdpa | flex_attention |",
        "| --- | --- | --- | --- |",
    ]
    for kind in works:
        cells = (YES if each.works else each.why_not for each in outcomes[kind].values())
        lines.append(f"| `{kind}` | {KINDS[kind]} | {' | '.join(cells)} |")
    for title, group in (
        (f"{_count(refused)} that are refused", refused),
        (f"{_count(untried)} not tried", untried),
    ):
        lines += ["", f"## {title}", "", "| why | model types |", "| --- | --- |"]
        lines += [
            f"| {why} | {', '.join(f'`{kind}`' for kind in kinds)} |" for why, kinds in sorted(group.items())
        ]
    return "\n".join(lines) + "\n"


def _count(group: Mapping[str, list[str]]) -> int:
    return sum(map(len, group.values()))


def tried() -> dict[str, dict[str, Outcome]]:
    """All architectures, tried."""
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    with pytest.MonkeyPatch.context() as patch:
        without_compiling(patch)
        return {kind: {each: outcome(kind, each) for each in IMPLEMENTATIONS} for kind in KINDS}


if __name__ == "__main__":
    PAGE.write_text(page(tried()), encoding="utf-8")
