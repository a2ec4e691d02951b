"""What a training run will take, before a GPU is touched: steps, memory per device, hours.

Steps and visible pairs are counted from the rows as they are. Operations forward: 2 per token and weight of
the layers and the output layer, 4 per visible pair and number of a query in a layer; backward twice as many;
forward once more with gradient checkpointing.

Memory is what tensors hold at the fullest moment of a step: weights, gradients and moments (`state_bytes`),
and what forward keeps for backward (`working_bytes`), counted as of a layer of Llama. What CUDA itself and
the gaps between tensors take comes on top.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from pipeline.attention.kv_curve import held_tokens
from pipeline.attention.tiles import TILE
from pipeline.attention.visibility import BlockTokens, Forgetting, visible_until
from pipeline.sft.collate import sizes_of_batches, told_sizes
from pipeline.sft.config import LoraConfig, ModelConfig, SftConfig
from pipeline.sft.errors import SftError
from pipeline.sft.model import Precision, load, precision, weights_type, where
from pipeline.sft.packing import packs
from pipeline.sft.stage_plan import Learning, stages_of
from pipeline.sft.tokenized_rows import Examples
from pipeline.sft.tokens import SPECIAL
from pipeline.sft.trainer import number_of_steps

PEAK_FLOPS = 989e12  # of an H100 SXM in bfloat16, without sparsity (its data sheet)
UTILIZATION = 0.4  # the share of it that training with FlexAttention is expected to reach
DEVICES = (1, 8, 32)
# Of an H100 or A100 with 80 GiB: what is over is left to CUDA and to gaps between tensors.
GPU_BYTES = 80e9
# Tokens and words of the vocabulary whose logits TRL computes at once.
_LOGITS = (4096, 32_768)
# torchao's moments: a byte each, and a scale of four bytes for 256 of them.
_MOMENTS_IN_8_BITS = 2 * (1 + 4 / 256)
# A weight in 4 bits, with the scales of its scales (bitsandbytes, double quantization).
_IN_4_BITS = 0.516
# Rows that visible pairs are counted of; the rest is taken to be like them.
_SAMPLED_ROWS = 512


@dataclass(frozen=True)
class Shape:
    """What arithmetic and memory depend on.

    parameters: all. weights: of linear layers, the output layer too. ends: numbers that go into and out of
    the linear layers that adapters are for. embeddings: matrices with a row for each token, 1 where the
    output layer shares the embeddings. attention_width, kv_width: numbers of a token's queries, and keys.
    """

    parameters: int
    weights: int
    ends: int
    layers: int
    width: int
    intermediate: int
    attention_width: int
    kv_width: int
    vocabulary: int
    embeddings: int


@dataclass(frozen=True)
class StageEstimate:
    """One stage: its steps, tokens over all epochs, operations; shapes: sizes of its packs, for people."""

    title: str
    packs: int
    shapes: str
    steps: int
    tokens: int
    operations: float

    def hours(self, devices: int) -> float:
        """On so many H100, at `UTILIZATION`."""
        return self.operations / (devices * PEAK_FLOPS * UTILIZATION) / 3600


@dataclass(frozen=True)
class Estimate:
    """Of a run on GPUs.

    memory: bytes per device by number of devices, the state sharded over all of them. others: bytes on a
    single device under other settings of the model, by what to set.
    """

    parameters: int
    stages: list[StageEstimate]
    memory: dict[int, float]
    others: dict[str, float]

    def ways_to_fit(self) -> dict[str, float]:
        """Where one GPU of `GPU_BYTES` is too small: what to set to make it fit, and bytes per device."""
        if self.memory[1] <= GPU_BYTES:
            return {}
        ways = {f"devices.count={n}": size for n, size in self.memory.items() if n > 1} | self.others
        return {name: size for name, size in ways.items() if size <= GPU_BYTES}


def estimate(config: SftConfig, learning: Learning) -> Estimate:
    """What the run will take. Raises SftError where the model's config cannot be read."""
    shape = shape_of(_empty_model(config))
    made = []
    for stage in stages_of(config):
        examples = learning.examples_of(stage.settings)
        lengths = examples.lengths
        found = packs(lengths, config.data.max_tokens)
        packed = len(found)
        steps = number_of_steps(stage.settings, packed)
        share = steps * stage.settings.batch / packed  # epochs
        pairs = _visible_pairs(examples, learning.tokenizing.tokens, stage.forgetting)
        tokens = round(sum(lengths) * share)
        operations = share * training_operations(
            shape, sum(lengths), pairs, checkpointing=config.model.gradient_checkpointing
        )
        sizes = sizes_of_batches(config.data.max_tokens, TILE)
        shapes = told_sizes([sum(lengths[at] for at in pack) for pack in found], sizes)
        made.append(StageEstimate(stage.title, packed, shapes, steps, tokens, operations))
    at_once = config.data.max_tokens * max(stage.settings.packs_at_once for stage in stages_of(config))
    return Estimate(
        shape.parameters,
        made,
        {devices: memory(config.model, shape, at_once, devices) for devices in DEVICES},
        {
            name: memory(config.model.model_copy(update=other), shape, at_once, 1)
            for name, other in _OTHER_SETTINGS.items()
        },
    )


def training_operations(shape: Shape, tokens: int, pairs: int, *, checkpointing: bool) -> float:
    """Operations of a pass over so many tokens with so many visible pairs, forward and backward."""
    passes = 4 if checkpointing else 3
    return passes * (2.0 * shape.weights * tokens + 4.0 * shape.layers * shape.attention_width * pairs)


_OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "model.precision=bf16-stochastic": {"precision": "bf16-stochastic", "lora": None},
    "model.lora.rank=32": {"precision": "bf16", "lora": LoraConfig()},
    "model.lora.four_bit=true": {"precision": "bf16", "lora": LoraConfig(four_bit=True)},
}


def memory(model: ModelConfig, shape: Shape, tokens: int, devices: int, *, on_gpu: bool = True) -> float:
    """Bytes that a device holds at the most. tokens: in one batch of a device.

    Over several devices the state is sharded (FSDP2).
    """
    chosen = precision(model, on_gpu=on_gpu)
    return state_bytes(model, shape, chosen) / devices + working_bytes(model, shape, chosen, tokens, devices)


def learning_parameters(model: ModelConfig, shape: Shape) -> int:
    """How many numbers learn: all, or adapters and the rows of the four special tokens."""
    if not model.lora:
        return shape.parameters
    return model.lora.rank * shape.ends + len(SPECIAL) * shape.width * shape.embeddings


def state_bytes(model: ModelConfig, shape: Shape, chosen: Precision) -> float:
    """Bytes of weights, gradients and AdamW's two moments, before they are sharded."""
    learning = learning_parameters(model, shape)
    if chosen == "bf16-stochastic":
        return learning * (2 + 2 + _MOMENTS_IN_8_BITS)
    learns = learning * (4 + 4 + 8)
    if not model.lora:
        return learns
    if not model.lora.four_bit:
        return learns + shape.parameters * weights_type(model, chosen).itemsize
    inside = shape.weights - shape.vocabulary * shape.width
    # bitsandbytes leaves the embeddings alone, and PEFT holds them in fp32.
    return learns + inside * _IN_4_BITS + (shape.parameters - inside) * 4


def working_bytes(
    model: ModelConfig, shape: Shape, chosen: Precision, tokens: int, devices: int = 1
) -> float:
    """Bytes that a step holds beside the state, at the fullest of four moments.

    When forward ends, while the loss goes back through the output layer, while a layer goes back, and at the
    embeddings.
    """
    sums = 4 if chosen == "fp32" else 2
    held = weights_type(model, chosen).itemsize
    # What layers hand on is of the embeddings' type; FSDP2 gathers those in the type of the sums.
    stream = held if devices == 1 else sums
    matrix = shape.vocabulary * shape.width
    inside = shape.weights - matrix
    copies = copies_of_a_layer = 0.0
    layer = float(tokens * _kept_by_a_layer(model, shape, sums, stream))
    if model.gradient_checkpointing:
        kept, again = float(shape.layers * tokens * stream * shape.width), layer
    else:
        kept, again = shape.layers * layer, 0.0
    # After the last layer: what it hands on, the norm's input in fp32 and what it gives.
    after = tokens * shape.width * (2 * stream + 4)
    if devices > 1:
        # Two layers and the embeddings are gathered at a time; gradients are whole before they are shared.
        gathered = sums * (2 * inside / shape.layers + shape.embeddings * matrix)
        copies, copies_of_a_layer = gathered, gathered + (0 if model.lora else 4 * inside / shape.layers)
    elif held > sums:
        # Autocast's copies of weights: of all when forward ends, without checkpointing until backward ends.
        copies = sums * float(inside)
        copies_of_a_layer = copies / shape.layers if model.gradient_checkpointing else copies
    logits = sums * min(tokens, _LOGITS[0]) * min(shape.vocabulary, _LOGITS[1])
    # The output layer's gradient is summed in fp32; where it shares its weights with the embeddings it waits
    # for theirs. Of adapters, the special tokens' rows are put into a copy of the whole matrix.
    rows = float(held * matrix)
    copied = rows if model.lora else 0.0
    waiting = rows if shape.embeddings == 1 and not model.lora else 0.0
    gradient = tokens * shape.width * 4 + 4 * matrix + (rows if held < 4 else 0)
    embeddings = 3 * rows if waiting else rows + copied
    # Gradients on their way: of what the layer hands on and of two inner ones; adapters' in fp32.
    in_fp32 = 4 * shape.intermediate if model.lora and sums == 2 else 0
    passing = tokens * (stream * shape.width + 2 * sums * shape.intermediate + in_fp32)
    back = 0.0 if model.gradient_checkpointing and devices == 1 else copies
    return max(
        kept + after + copied + copies + logits,
        kept + after + copied + back + logits + gradient,
        kept + waiting + copies_of_a_layer + again + passing,
        embeddings,
    )


def _kept_by_a_layer(model: ModelConfig, shape: Shape, sums: int, stream: int) -> int:
    """Bytes of a token that one layer keeps for backward."""
    lora = model.lora
    # Of both norms: what goes in, in fp32, and before the weights are applied, where they learn.
    norms = 2 * shape.width * (4 + (0 if lora else stream))
    # What goes into q, k, v and gate, up: once each where a copy is made for it, else shared.
    inputs = sums * shape.width * (5 if stream > sums or (lora and sums == 2) else 2)
    attention = sums * (3 * shape.attention_width + 2 * shape.kv_width)
    feed_forward = sums * 4 * shape.intermediate
    # Whether it is dropped, in a byte for each number that goes into an adapter (CPUs take four).
    dropped = (6 * shape.width + shape.intermediate) if lora and lora.dropout else 0
    return norms + inputs + attention + feed_forward + dropped


def shape_of(model: Any) -> Shape:
    """The shape of a model, which may be without memory for its weights."""
    config = model.config.get_text_config(decoder=True)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # Rows of the embeddings are looked up, not multiplied; the output layer is a linear one, tied or not.
    linear = [each for each in model.modules() if isinstance(each, torch.nn.Linear)]
    output = model.get_output_embeddings()
    matrices = {id(model.get_input_embeddings().weight), id(output.weight)}
    return Shape(
        parameters=parameters,
        weights=sum(each.weight.numel() for each in linear),
        ends=sum(each.in_features + each.out_features for each in linear if each is not output),
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        intermediate=config.intermediate_size,
        attention_width=config.num_attention_heads * head_size,
        kv_width=(getattr(config, "num_key_value_heads", None) or config.num_attention_heads) * head_size,
        vocabulary=model.get_input_embeddings().weight.shape[0],
        embeddings=len(matrices),
    )


def _empty_model(config: SftConfig) -> Any:
    if config.model.scratch:
        return load(config.model, config.seed)
    try:
        read = AutoConfig.from_pretrained(where(config.model), revision=config.model.revision)
    except (OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise SftError(f"model.path {config.model.path}: its config cannot be read ({first})") from None
    with torch.device("meta"):  # accelerate's empty weights would not share those that are tied
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
