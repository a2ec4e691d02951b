"""What the vLLM server is started with: arguments and environment that suit this machine."""

import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.llm.bundled_model import NAME as BUNDLED_NAME
from pipeline.processes.commands import python_module

SERVER = "vllm.entrypoints.openai.api_server"
HOST = "127.0.0.1"
# vLLM keeps one core for itself. Of two that is half the machine: 53 to 62 generated tokens/s against 88 to
# 105 with both, SmolLM2-135M at 24 concurrent requests.
FEW_CORES = 4
# vLLM allocates its KV cache at the start; 4 GiB hold 186,000 tokens of the bundled model.
MOST_CPU_KV_CACHE_GIB = 4
# Eager: compiling takes a minute more at each start than it gains in a short run. No chunked prefill:
# vLLM 0.32 dies of a seeded request whose prompt is computed in parts ("CPU Generator does not use
# offset"), and the bundled model's whole window fits one batch. Blocks of 32 tokens instead of 128: only
# whole blocks are found in the prefix cache.
CPU_ARGUMENTS = [
    "--enforce-eager",
    "--no-enable-chunked-prefill",
    "--block-size", "32",
]  # fmt: skip
# The bundled model on a GPU: the same 4 GiB of cache, and no compiling either. With the cache's size given,
# the utilization says only how much of the card must be free for the server to start; the default, 0.92,
# would refuse a card that somebody else uses, too.
GPU_ARGUMENTS_OF_BUNDLED = [
    "--enforce-eager",
    "--kv-cache-memory-bytes", str(MOST_CPU_KV_CACHE_GIB * 2**30),
    "--gpu-memory-utilization", "0.05",
]  # fmt: skip
# Small models pretty-print JSON, and some never stop putting white space into it: 16 tokens instead of
# 53 for a judge's reply of the bundled model.
COMPACT_JSON = '{"backend": "guidance", "disable_any_whitespace": true}'
TELEMETRY_OFF = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def server_command(model: str, served_name: str, port: int, own_arguments: Sequence[str]) -> list[str]:
    """The command line of the server. own_arguments: of the config; they win, since vLLM takes the last."""
    arguments = [
        "--model", model,
        "--served-model-name", served_name,
        "--host", HOST,
        "--port", str(port),
        "--enable-prefix-caching",
        "--enable-prompt-tokens-details",
        # Sampling is the config's to say (llm.sampling), not the model folder's.
        "--generation-config", "vllm",
        "--structured-outputs-config", COMPACT_JSON,
    ]  # fmt: skip
    if is_cpu_build():
        arguments += [*CPU_ARGUMENTS, "--dtype", _cpu_dtype()]
    elif served_name == BUNDLED_NAME:
        arguments += GPU_ARGUMENTS_OF_BUNDLED
    return python_module(SERVER, *arguments, *own_arguments)


def server_environment() -> dict[str, str]:
    """The environment of the server: this process's, with what suits the machine where nothing is said."""
    wanted = dict(TELEMETRY_OFF)
    if is_cpu_build() and (os.cpu_count() or 1) <= FEW_CORES:
        wanted["VLLM_CPU_NUM_OF_RESERVED_CPU"] = os.environ.get("VLLM_CPU_NUM_OF_RESERVED_CPU", "0")
    if is_cpu_build() and "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        wanted["VLLM_CPU_KVCACHE_SPACE"] = str(_cpu_kv_cache_gib())
    return os.environ | wanted


def is_cpu_build() -> bool:
    """Whether the vLLM that is installed computes on the processor."""
    return any(importlib.metadata.distributions(name="vllm-cpu"))


def _cpu_dtype() -> str:
    """bfloat16, or float32 on an x86 processor that computes bfloat16 in software only."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "bfloat16"
    is_x86 = " sse2 " in flags
    return "float32" if is_x86 and " avx512f " not in flags else "bfloat16"


def _cpu_kv_cache_gib() -> int:
    """A fifth of the machine's memory, within bounds."""
    machine_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return max(1, min(MOST_CPU_KV_CACHE_GIB, int(machine_gib / 5)))
