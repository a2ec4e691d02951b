"""A start that failed is explained by its first cause, as vLLM 0.20 to 0.32 write it into their logs."""

import textwrap

import pytest

from pipeline.llm.engine_log import SHOWN_LINES, cause_of, remedy_for

# The engine core fails; the API server's own traceback, which comes last, only says that it did.
FREE_MEMORY = """
    (APIServer pid=811) INFO 11-27 07:00:01 [api_utils.py:286] non-default args: {'model': 'Qwen/Qwen3-8B'}
    (EngineCore pid=902) INFO 11-27 07:00:09 [core.py:107] Initializing a V1 LLM engine (v0.32.0)
    (EngineCore pid=902) ERROR 11-27 07:00:12 [core.py:1136] EngineCore failed to start.
    (EngineCore pid=902) ERROR 11-27 07:00:12 [core.py:1136] Traceback (most recent call last):
    (EngineCore pid=902) ERROR 11-27 07:00:12 [core.py:1136]   File "/v/vllm/v1/engine/core.py", line 1110, in run
    (EngineCore pid=902) ERROR 11-27 07:00:12 [core.py:1136]     engine_core = EngineCoreProc(*args, **kwargs)
    (APIServer pid=811) INFO 11-27 07:00:12 [utils.py:10] waiting for the engine core
    (EngineCore pid=902) ERROR 11-27 07:00:12 [core.py:1136]   File "/v/vllm/v1/worker/utils.py", line 762, in request_memory
    (EngineCore pid=902) ERROR 11-27 07:00:12 [core.py:1136]     raise ValueError(
    (EngineCore pid=902) ERROR 11-27 07:00:12 [core.py:1136] ValueError: Free memory on device cuda:0 (20.48/79.18 GiB) on startup is less than desired GPU memory utilization (0.92, 72.84 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.
    (EngineCore pid=902) Process EngineCore:
    (EngineCore pid=902) Traceback (most recent call last):
    (EngineCore pid=902)   File "/p/multiprocessing/process.py", line 314, in _bootstrap
    (EngineCore pid=902)     self.run()
    (EngineCore pid=902) SystemExit: 1
    (APIServer pid=811) Traceback (most recent call last):
    (APIServer pid=811)   File "/v/vllm/entrypoints/openai/api_server.py", line 77, in <module>
    (APIServer pid=811)     uvloop.run(run_server(args))
    (APIServer pid=811) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""  # noqa: E501

# With tensor parallelism a worker fails first, then the core that waits for it, then the API server.
WORKER = """
    (Worker_TP1 pid=905) ERROR 11-27 07:00:30 [multiproc_executor.py:850] WorkerProc failed to start.
    (Worker_TP1 pid=905) ERROR 11-27 07:00:30 [multiproc_executor.py:850] Traceback (most recent call last):
    (Worker_TP1 pid=905) ERROR 11-27 07:00:30 [multiproc_executor.py:850]   File "/v/vllm/v1/worker/gpu_worker.py", line 400, in load_model
    (Worker_TP1 pid=905) ERROR 11-27 07:00:30 [multiproc_executor.py:850]     self.model_runner.load_model()
    (Worker_TP1 pid=905) ERROR 11-27 07:00:30 [multiproc_executor.py:850] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 270.00 MiB. GPU 1 has a total capacity of 79.18 GiB of which 12.50 MiB is free.
    (EngineCore_DP0 pid=902) ERROR 11-27 07:00:31 [core.py:946] Traceback (most recent call last):
    (EngineCore_DP0 pid=902) ERROR 11-27 07:00:31 [core.py:946] Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause.
    (APIServer pid=811) Traceback (most recent call last):
    (APIServer pid=811) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""  # noqa: E501


def core_failing_with(error: str) -> str:
    """The log of a start whose engine core raises an error."""
    written = next(line.partition("] ")[2] for line in FREE_MEMORY.splitlines() if "ValueError: " in line)
    return textwrap.dedent(FREE_MEMORY).replace(written, error)


def test_the_engine_cores_first_traceback_is_the_cause_and_not_the_api_servers_last_lines() -> None:
    cause = cause_of(textwrap.dedent(FREE_MEMORY))
    assert cause.error is not None
    assert cause.error.startswith("ValueError: Free memory on device cuda:0 (20.48/79.18 GiB)")
    assert list(cause.lines) == [
        '  File "/v/vllm/v1/engine/core.py", line 1110, in run',
        "    engine_core = EngineCoreProc(*args, **kwargs)",
        '  File "/v/vllm/v1/worker/utils.py", line 762, in request_memory',
        "    raise ValueError(",
        cause.error,
    ]


def test_a_worker_that_failed_before_the_core_is_the_cause() -> None:
    cause = cause_of(textwrap.dedent(WORKER))
    assert cause.error is not None
    assert cause.error.startswith("torch.OutOfMemoryError: CUDA out of memory")


def test_where_only_the_api_server_failed_its_traceback_is_the_cause() -> None:
    log = "(APIServer pid=1) Traceback (most recent call last):\n(APIServer pid=1) OSError: no such model\n"
    assert cause_of(log).error == "OSError: no such model"


def test_a_log_without_a_traceback_shows_its_end() -> None:
    cause = cause_of("\n".join(map(str, range(100))))
    assert cause.error is None
    assert list(cause.lines) == [str(n) for n in range(100 - SHOWN_LINES, 100)]


def test_a_traceback_that_was_cut_off_shows_what_there_is() -> None:
    cut = "(EngineCore pid=1) Traceback (most recent call last):\n(EngineCore pid=1)   File 'x', line 1"
    assert cause_of(cut).error is None
    assert list(cause_of(cut).lines) == ["  File 'x', line 1"]


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            "ValueError: Free memory on device cuda:0 (20.48/79.18 GiB) on startup is less than desired GPU "
            "memory utilization (0.92, 72.84 GiB). Decrease GPU memory utilization or reduce GPU memory used "
            "by other processes.",
            "other programs hold 58.7 GiB of the card",
        ),
        ("RuntimeError: No CUDA GPUs are available", "CUDA_VISIBLE_DEVICES"),
        (
            "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
            "openmementos[cpu]",
        ),
        (
            "RuntimeError: Failed to infer device type, please set the environment variable",
            "openmementos[cpu]",
        ),
        (
            "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device",
            "compute_cap",
        ),
        (
            "RuntimeError: The NVIDIA driver on your system is too old (found version 12020). Please update "
            "your GPU driver",
            "update the NVIDIA driver",
        ),
        (
            "RuntimeError: CUDA driver version is insufficient for CUDA runtime version",
            "update the NVIDIA driver",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 270.00 MiB.",
            "--tensor-parallel-size",
        ),
        (
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
            "FP8",
        ),
        (
            "ValueError: To serve at least one request with the model's max seq len (40960), (10.00 GiB KV "
            "cache is needed, which is larger than the available KV cache memory (7.31 GiB). Based on the "
            "available memory, the estimated maximum model length is 29936. Try increasing",
            "--max-model-len 29936 in llm.engine.arguments",
        ),
    ],
)
def test_a_cause_known_on_gpus_comes_with_what_would_do(error: str, remedy: str) -> None:
    log = core_failing_with(error)
    assert cause_of(log).error == error
    found = remedy_for(log, on_gpu=True)
    assert found is not None
    assert remedy in found


def test_what_vllm_may_take_is_said_as_the_share_of_the_card_that_is_free() -> None:
    found = remedy_for(textwrap.dedent(FREE_MEMORY), on_gpu=True)
    assert found is not None
    assert "--gpu-memory-utilization 0.24 in llm.engine.arguments" in found


def test_the_cause_counts_before_what_else_the_log_mentions() -> None:
    log = "WARNING: CUDA out of memory in an earlier try\n" + core_failing_with(
        "RuntimeError: No CUDA GPUs are available"
    )
    found = remedy_for(log, on_gpu=True)
    assert found is not None
    assert "CUDA_VISIBLE_DEVICES" in found


def test_an_unknown_cause_has_no_remedy() -> None:
    assert remedy_for(core_failing_with("KeyError: 'x'"), on_gpu=True) is None
