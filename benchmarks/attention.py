"""Speed of training under memento attention: `python -m benchmarks.attention`; on a GPU at full size.

Random weights in the geometry of Qwen3-1.7B and 32,768 tokens on a GPU, a small Qwen3 and 2,048 tokens
elsewhere. Times a step (forward and backward) of stage 1 and stage 2, on a single trace and on packed ones,
and of stage 2 under a dense mask; also how long the masks take to make. Prints a Markdown table.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, Qwen3Config

from pipeline.attention.hook import masks, take_visible_until
from pipeline.attention.kv_curve import held_tokens
from pipeline.attention.visibility import packed, padded, visible_until_of_sizes
from pipeline.sft.estimate import PEAK_FLOPS, shape_of, training_operations

# Of the 32K traces of microsoft/OpenMementos: blocks of 1,150 tokens, mementos of 194.
BLOCK, MEMENTO = 1_150, 194


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--tokens", type=int, default=32_768 if on_gpu else 2_048)
    parser.add_argument("--steps", type=int, default=10 if on_gpu else 3)
    arguments = parser.parse_args()
    n = arguments.tokens
    scale = 1 if on_gpu else 8
    single = _document(n, scale)
    several = packed([_document(size, scale) for size in _sizes(n)])
    everything = np.full(n, n)
    apart = packed([np.full(size, size) for size in _sizes(n)])
    cases: list[tuple[str, np.ndarray[Any, Any], str]] = [
        ("stage 1, single", everything, "tiles"),
        ("stage 2, single", single, "tiles"),
        ("stage 1, packed", apart, "tiles"),
        ("stage 2, packed", several, "tiles"),
        ("stage 2, single, dense mask", single, "dense"),
    ]
    print("| | tokens/s | masks, share of the step | MFU on useful operations | peak memory, GiB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, visible, kind in cases:
        print(f"| {name} | {_measured(visible, kind, arguments.steps)} |", flush=True)


def _document(n: int, scale: int) -> np.ndarray[Any, Any]:
    """Blocks and mementos that fill n tokens, the rest an answer."""
    block, memento = BLOCK // scale, MEMENTO // scale
    count = n // (block + memento)
    visible = visible_until_of_sizes([block] * count, [memento] * count)
    visible = np.where(visible == len(visible), n, visible)
    return np.concatenate((visible, np.full(n - len(visible), n)))


def _sizes(n: int) -> list[int]:
    return [n * 5 // 16, n * 6 // 16, n - n * 5 // 16 - n * 6 // 16]


def _measured(visible: np.ndarray[Any, Any], kind: str, steps: int) -> str:
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    # FlexAttention has no backward on a CPU: both kinds are dense there.
    attention = "flex_attention" if on_gpu and kind == "tiles" else "sdpa"
    model = _model(attention, on_gpu).to(device)
    vector = torch.from_numpy(padded(visible, len(visible)))[None].to(device)
    ids = torch.randint(0, 1_000, vector.shape, device=device)
    take_visible_until(model)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()

    def step() -> None:
        # Logits of some tokens at a time, as TRL makes them.
        hidden = model.model(input_ids=ids, visible_until=vector, use_cache=False).last_hidden_state
        outputs = hidden.detach().requires_grad_()
        for part in outputs.split(4_096, dim=1):
            model.lm_head(part).logsumexp(-1).mean().backward()
        hidden.backward(outputs.grad)

    seconds = _seconds(step, steps)
    of_masks = _seconds(lambda: masks(model.config, vector), steps)
    operations = training_operations(
        shape_of(model), len(visible), int(held_tokens(visible).sum()), checkpointing=False
    )
    memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f}" if on_gpu else "–"
    mfu = f"{operations / seconds / PEAK_FLOPS:.1%}" if on_gpu else "–"
    return f"{len(visible) / seconds:,.0f} | {of_masks / seconds:.2%} | {mfu} | {memory}"


def _model(attention: str, full_size: bool) -> Any:
    torch.manual_seed(0)
    shape = (
        {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16}
        if full_size
        else {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 4}
    )
    config = Qwen3Config(
        **shape,
        num_key_value_heads=8 if full_size else 2,
        head_dim=128 if full_size else 64,
        vocab_size=151_936 if full_size else 4_096,
        max_position_embeddings=40_960,
        tie_word_embeddings=True,
    )
    model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        config, attn_implementation=attention, dtype=torch.bfloat16 if full_size else torch.float32
    )
    if full_size:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def _seconds(work: Callable[[], object], times: int) -> float:
    """Median of some runs, after two that compile."""
    found = []
    for number in range(times + 2):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if number >= 2:
            found.append(time.perf_counter() - began)
    return float(np.median(found))


if __name__ == "__main__":
    main()
