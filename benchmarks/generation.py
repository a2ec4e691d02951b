"""Speed of generation with blocks dropped: `python -m benchmarks.generation`; on a GPU at full size.

Random weights in the geometry of Qwen3-1.7B on a GPU, of a small Qwen3 elsewhere; what is written is given:
blocks and mementos of the sizes of microsoft/OpenMementos (a sixteenth of them on a CPU). Prints tokens per
second and the cache's peak of 1, 8, 32 (and on a GPU 128, 256) sequences at once, with every token kept and
with finished blocks dropped; "does not fit" where the GPU's memory does not hold them. Then of 8 sequences
with prompts of 64 to 2,000 tokens, beside 8 with prompts of their mean: rows of different length may cost no
more than their padding.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen3Config

from benchmarks.attention import BLOCK, MEMENTO
from pipeline.attention.generate import generate
from pipeline.attention.visibility import BlockTokens
from pipeline.evaluate.modes import Mode

TOKENS = BlockTokens(1, 2, 3, 4)
WORD, END = 7, 5
PROMPT = 128
UNEVEN = [64, 128, 256, 512, 800, 1_200, 1_600, 2_000]


def main() -> None:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=12_288 if on_gpu else 768, help="of a response")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, *([128, 256] if on_gpu else [])])
    arguments = parser.parse_args()
    model = _model(on_gpu)
    scale = 1 if on_gpu else 16
    text = _text(arguments.tokens, BLOCK // scale, MEMENTO // scale)
    print("| sequences | vanilla, tokens/s | memento, tokens/s | ratio | vanilla, peak | memento, peak |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for rows in arguments.batches:
        (slow, most), (fast, fewest) = (
            _measured(model, mode, [PROMPT] * rows, text) for mode in (Mode.VANILLA, Mode.MEMENTO)
        )
        ratio = f"{fast / slow:.2f}" if slow and fast else "–"
        print(f"| {rows} | {_told(slow)} | {_told(fast)} | {ratio} | {most:,} | {fewest:,} |", flush=True)
    print("\n| 8 sequences | equal prompts, tokens/s | of different length, tokens/s | ratio |")
    print("| --- | ---: | ---: | ---: |")
    equal = [sum(UNEVEN) // len(UNEVEN)] * len(UNEVEN)
    for mode in (Mode.VANILLA, Mode.MEMENTO):
        (even, _), (uneven, _) = (_measured(model, mode, prompts, text[:300]) for prompts in (equal, UNEVEN))
        ratio = f"{uneven / even:.2f}" if uneven and even else "–"
        print(f"| {mode} | {_told(even)} | {_told(uneven)} | {ratio} |", flush=True)


def _told(speed: float) -> str:
    return f"{speed:,.0f}" if speed else "does not fit"


def _measured(model: Any, mode: Mode, prompts: Sequence[int], text: Sequence[int]) -> tuple[float, int]:
    """Tokens per second of all sequences together, 0 where they do not fit; the most that one holds.

    prompts: tokens of each. Their computation is not counted.
    """
    steps = iter(text)
    began = 0.0

    def given(logits: torch.Tensor, numbers: Sequence[int]) -> torch.Tensor:
        nonlocal began
        # Read, as a choice would be: else nobody waits for the model.
        logits.argmax(-1).tolist()
        began = began or time.perf_counter()
        return torch.full((len(numbers),), next(steps))

    try:
        responses = generate(
            model,
            [[WORD] * size for size in prompts],
            TOKENS,
            mode.forgetting,
            ends=[END],
            new_tokens=len(text),
            choose=given,
        )
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return 0.0, 0
    seconds = time.perf_counter() - began
    return len(prompts) * (len(text) - 1) / seconds, max(responses[0].held)


def _text(count: int, block: int, memento: int) -> list[int]:
    """Blocks and mementos one after the other, `count` tokens."""
    one = [TOKENS.block_start, *[WORD] * (block - 2), TOKENS.block_end]
    one += [TOKENS.summary_start, *[WORD] * (memento - 2), TOKENS.summary_end]
    return (one * (count // len(one) + 1))[:count]


def _model(full_size: bool) -> Any:
    torch.manual_seed(0)
    shape = (
        {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16}
        if full_size
        else {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 8, "num_attention_heads": 8}
    )
    config = Qwen3Config(
        **shape,
        num_key_value_heads=8,
        head_dim=128 if full_size else 64,
        vocab_size=151_936 if full_size else 4_096,
        max_position_embeddings=40_960,
        tie_word_embeddings=True,
    )
    model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        config, attn_implementation="sdpa", dtype=torch.bfloat16 if full_size else torch.float32
    )
    return model.to("cuda" if full_size else "cpu").eval()


if __name__ == "__main__":
    main()
