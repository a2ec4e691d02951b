"""How fast a model runs on named hardware, and whether it fits: one measurement, scaled."""

import re
from dataclasses import dataclass

# Measured on one H200, vLLM 0.26, an 8B model in bfloat16 (Qwen3-8B's shape), traces of 10.4K tokens: prompt
# tokens computed and tokens generated per second that together explain its 1,642 traces an hour.
MEASURED_PROMPT_SPEED = 30_000.0
MEASURED_GENERATION_SPEED = 2_600.0
MEASURED_ON = "h200"
MEASURED_PARAMETERS = 8.0
# vLLM's default share of a card, and what activations and graphs take of it beside weights and cache.
_USED_SHARE = 0.92
_OVERHEAD_GB = 3.0


@dataclass(frozen=True)
class Hardware:
    """One GPU, as its maker states it: memory in GB, dense bfloat16 in TFLOP/s, bandwidth in TB/s."""

    memory: float
    compute: float
    bandwidth: float


HARDWARE = {
    "h200": Hardware(141, 989, 4.8),
    "h100": Hardware(80, 989, 3.35),
    "a100-80gb": Hardware(80, 312, 2.04),
    "l40s": Hardware(48, 362, 0.86),
    "rtx4090": Hardware(24, 165, 1.01),
}


@dataclass(frozen=True)
class ModelSize:
    """parameters, active: in billions; active: those that one token uses. bytes: of each parameter."""

    parameters: float
    active: float
    bytes: float

    @property
    def weights(self) -> float:
        """GB that the weights take."""
        return self.parameters * self.bytes


_PARAMETERS = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)B(?![a-z])", re.IGNORECASE)
_ACTIVE = re.compile(r"(?<![\w.])A(\d+(?:\.\d+)?)B(?![a-z])", re.IGNORECASE)
_EIGHT_BITS = re.compile(r"fp8|w8a8|int8", re.IGNORECASE)
_FOUR_BITS = re.compile(r"awq|gptq|int4|w4a16|nvfp4|mxfp4", re.IGNORECASE)


def size_of(name: str, parameters: float | None = None) -> ModelSize | None:
    """A model's size by its name ("Qwen3-30B-A3B-FP8"); None where the name does not tell it.

    parameters: in billions, where they are given and not read from the name.
    """
    told = _PARAMETERS.search(name)
    total = parameters or (float(told[1]) if told else None)
    if total is None:
        return None
    active = _ACTIVE.search(name)
    width = 1.0 if _EIGHT_BITS.search(name) else 0.5 if _FOUR_BITS.search(name) else 2.0
    return ModelSize(total, float(active[1]) if active else total, width)


@dataclass(frozen=True)
class Fit:
    """A model on some GPUs of a kind. Speeds in tokens per second, memory in GB.

    cache: left for the KV cache, negative where not even the weights fit.
    """

    prompt_speed: float
    generation_speed: float
    weights: float
    cache: float


def fit(model: ModelSize, hardware: Hardware, gpus: int) -> Fit:
    """The measurement, scaled: prompts by arithmetic, generation by how fast the weights are read.

    Both are taken to grow with the number of GPUs, which tensor parallelism does not quite reach.
    """
    measured = HARDWARE[MEASURED_ON]
    per_token = MEASURED_PARAMETERS / model.active
    read = MEASURED_PARAMETERS * 2 / (model.active * model.bytes)
    return Fit(
        prompt_speed=MEASURED_PROMPT_SPEED * gpus * hardware.compute / measured.compute * per_token,
        generation_speed=MEASURED_GENERATION_SPEED * gpus * hardware.bandwidth / measured.bandwidth * read,
        weights=model.weights,
        cache=gpus * (hardware.memory * _USED_SHARE - _OVERHEAD_GB) - model.weights,
    )
