"""What a training run will take, before a GPU is touched: steps, memory per device, hours.

Steps and visible pairs are counted from the rows as they are. Operations forward: 2 per token and weight of
the layers and the output layer, 4 per visible pair and number of a query in a layer; backward twice as many;
forward once more with gradient checkpointing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import init_empty_weights
from transformers import AutoConfig, AutoModelForCausalLM

from pipeline.attention.kv_curve import held_tokens
from pipeline.attention.visibility import BlockTokens, Forgetting, visible_until
from pipeline.sft.config import SftConfig
from pipeline.sft.errors import SftError
from pipeline.sft.model import load, precision, where
from pipeline.sft.packing import packs
from pipeline.sft.stage_plan import Learning, stages_of
from pipeline.sft.tokenized_rows import Examples
from pipeline.sft.trainer import number_of_steps

PEAK_FLOPS = 989e12  # of an H100 SXM in bfloat16, without sparsity (its data sheet)
UTILIZATION = 0.4  # the share of it that training with FlexAttention is expected to reach
DEVICES = (1, 8, 32)
# Rows that visible pairs are counted of; the rest is taken to be like them.
_SAMPLED_ROWS = 512


@dataclass(frozen=True)
class Shape:
    """What arithmetic and memory depend on. weights: of layers and output layer; parameters: all."""

    parameters: int
    weights: int
    layers: int
    width: int
    intermediate: int
    attention_width: int


@dataclass(frozen=True)
class StageEstimate:
    """One stage: its steps, tokens over all epochs, and operations."""

    title: str
    packs: int
    steps: int
    tokens: int
    operations: float

    def hours(self, devices: int) -> float:
        """On so many H100, at `UTILIZATION`."""
        return self.operations / (devices * PEAK_FLOPS * UTILIZATION) / 3600


@dataclass(frozen=True)
class Estimate:
    """Of a run; `memory`: bytes per device by number of devices, the state sharded over all of them."""

    parameters: int
    stages: list[StageEstimate]
    memory: dict[int, float]


def estimate(config: SftConfig, learning: Learning) -> Estimate:
    """What the run will take. Raises SftError where the model's config cannot be read."""
    shape = shape_of(_empty_model(config))
    made = []
    for stage in stages_of(config):
        examples = learning.examples_of(stage.settings)
        lengths = examples.lengths
        packed = len(packs(lengths, config.data.max_tokens))
        steps = number_of_steps(stage.settings, packed)
        share = steps * stage.settings.batch / packed  # epochs
        pairs = _visible_pairs(examples, learning.tokenizing.tokens, stage.forgetting)
        tokens = round(sum(lengths) * share)
        operations = share * training_operations(
            shape, sum(lengths), pairs, checkpointing=config.model.gradient_checkpointing
        )
        made.append(StageEstimate(stage.title, packed, steps, tokens, operations))
    at_once = config.data.max_tokens * max(stage.settings.packs_at_once for stage in stages_of(config))
    return Estimate(
        shape.parameters,
        made,
        {devices: memory(config, shape, at_once, devices) for devices in DEVICES},
    )


def training_operations(shape: Shape, tokens: int, pairs: int, *, checkpointing: bool) -> float:
    """Operations of a pass over so many tokens with so many visible pairs, forward and backward."""
    passes = 4 if checkpointing else 3
    return passes * (2.0 * shape.weights * tokens + 4.0 * shape.layers * shape.attention_width * pairs)


def memory(config: SftConfig, shape: Shape, tokens: int, devices: int) -> float:
    """Bytes that a device holds at the most: weights, gradients, both moments of AdamW, activations.

    tokens: in one batch of a device. With checkpointing a layer's input is kept and one layer worked on;
    without it all that layers compute is kept. Logits are computed in parts by TRL and left out.
    """
    number = precision(config.model).itemsize
    lora = config.model.lora
    if lora:
        adapters = 2 * lora.rank * shape.layers * (4 * shape.width + 3 * shape.intermediate)
        state = shape.parameters * (0.5 if lora.four_bit else number) + 4 * 4 * adapters
    else:
        state = 4.0 * number * shape.parameters
    inside = number * tokens * (8 * shape.width + 3 * shape.intermediate + 2 * shape.attention_width)
    kept = number * tokens * shape.width * shape.layers
    activations = kept + inside if config.model.gradient_checkpointing else inside * shape.layers
    return state / devices + activations


def shape_of(model: Any) -> Shape:
    """The shape of a model, which may be without memory for its weights."""
    config = model.config.get_text_config(decoder=True)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # Rows of the embeddings are looked up, not multiplied; the output layer is a linear one, tied or not.
    weights = sum(each.weight.numel() for each in model.modules() if isinstance(each, torch.nn.Linear))
    return Shape(
        parameters=parameters,
        weights=weights,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        intermediate=config.intermediate_size,
        attention_width=config.num_attention_heads * head_size,
    )


def _empty_model(config: SftConfig) -> Any:
    if config.model.scratch:
        return load(config.model, config.seed)
    try:
        read = AutoConfig.from_pretrained(where(config.model), revision=config.model.revision)
    except (OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise SftError(f"model.path {config.model.path}: its config cannot be read ({first})") from None
    with init_empty_weights():
        return AutoModelForCausalLM.from_config(read)  # type: ignore[no-untyped-call]


def _visible_pairs(examples: Examples, tokens: BlockTokens, forgetting: Forgetting) -> int:
    """Pairs of query and key that are visible, added up over all examples."""
    count = len(examples.table)
    chosen: Sequence[int] = range(0, count, max(1, math.ceil(count / _SAMPLED_ROWS)))
    found = read = 0
    for row in examples.table.select(chosen).with_format("numpy"):
        visible = visible_until(row["ids"], tokens, forgetting, prompt=int(row["prompt"]))
        found += int(held_tokens(visible).sum())
        read += len(row["ids"])
    return round(found * sum(examples.lengths) / read)
