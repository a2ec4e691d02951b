"""A vLLM server that the pipeline starts, watches, restarts and ends."""

import contextlib
import os
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
from pipeline.llm.engine_command import HOST, is_cpu_build, server_command, server_environment
from pipeline.llm.engine_log import cause_of, remedy_for
from pipeline.processes.commands import guarded

LOOK_SECONDS = 0.5
# The guard gives the server 5 s to end; after that the guard itself is in trouble.
STOP_SECONDS = 15.0


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
        self._log_begins = 0
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
            self._log_begins = log.tell()
            command = server_command(self._model, self._served_name, self._port, self._config.arguments)
            self._guard = _start_guarded(command, server_environment(), log)

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
        written = self._log.read_bytes() if self._log.exists() else b""
        # A server that was started again writes on: why it failed stands after what the one before wrote.
        log = written[self._log_begins :].decode(errors="replace")
        cause, remedy = cause_of(log), remedy_for(log, on_gpu=not is_cpu_build())
        where = f"end of {self._log}:" if cause.error is None else f"from {self._log}:"
        said = [f"  {line}" for line in (cause.error, remedy) if line]
        return EngineError("\n".join([what, *said, f"  {where}", *(f"  | {line}" for line in cause.lines)]))


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
