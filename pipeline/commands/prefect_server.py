"""A Prefect server as a child of a command: started, waited for, and ended with it."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2

from pipeline.commands.prefect_process import guarded
from pipeline.doctor.machine import prefect_url

# The first start creates the database, which takes 10 to 30 s.
START_SECONDS = 180.0
LOOK_SECONDS = 0.2
# A busy server takes its time.
ANSWER_SECONDS = 60.0


class ServerError(Exception):
    """Prefect's server cannot be started, ended, or did not answer in time; the message says why."""


@contextmanager
def prefect_server(host: str, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address and guard of a Prefect server that is up, and ends with the block.

    Ctrl-C in a terminal does not reach it: what runs on it may still say how it ended. Raises ServerError.
    """
    _check_free(host, port)
    url = _url(host, port)
    command = ["server", "start", "--host", host, "--port", str(port)]
    with guarded(command, _settings(host, port), subprocess.DEVNULL) as server:
        _wait_healthy(server, url)
        yield url, server


@contextmanager
def prefect_for_a_run(tell: Callable[[str], None] = lambda step: None) -> Iterator[None]:
    """A Prefect server for one run: the one that environment or profile names, else one of its own.

    tell is called where one has to be started, which takes a while. Raises ServerError, also where nobody
    answers at the address that is named: Prefect would ask there for minutes, and then end in a traceback.

    Prefect's own way, a server that it starts by itself, gets a terminal's Ctrl-C together with the run,
    which then waits more than a minute for a server that is gone; and it outlives a run that is killed.
    """
    named, named_in = prefect_url()
    if named:
        _check_answers(named, named_in)
        yield
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tell("starting Prefect's server")
    with prefect_server("127.0.0.1", port) as (url, _):
        # Prefect reads it when it is imported.
        os.environ["PREFECT_API_URL"] = f"{url}/api"
        try:
            yield
        finally:
            del os.environ["PREFECT_API_URL"]


def _check_answers(url: str, named_in: str) -> None:
    try:
        # Whatever is said, be it that a key is needed, somebody is there.
        httpx2.get(f"{url.rstrip('/')}/health", timeout=ANSWER_SECONDS)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ServerError(
            f"no Prefect server answers at {url} (from {named_in}; {type(error).__name__}): start one with "
            "`openmementos ui`, correct the address, or unset it: the run then has a server of its own"
        ) from None


def ended(code: int) -> ServerError:
    return ServerError(
        f"Prefect's server ended by itself (exit code {code}); `python -m prefect server start` shows why"
    )


def _settings(host: str, port: int) -> dict[str, str]:
    return {
        "PREFECT_SERVER_API_HOST": host,
        # Without it, the server tells its UI the wrong port, whatever --port says.
        "PREFECT_SERVER_API_PORT": str(port),
        # Relative, so that a browser on another machine asks the server it has the page from.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_LEVEL": "ERROR",
    }


def _check_free(host: str, port: int) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        running = " (a Prefect server runs there already)" if _is_healthy(_url(host, port)) else ""
        raise ServerError(
            f"cannot listen on {host}:{port}{running}: {error.strerror}; name another with --port or --host"
        ) from None


def _wait_healthy(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_healthy(url):
        if server.poll() is not None:
            raise ended(server.returncode)
        if time.monotonic() > deadline:
            raise ServerError(f"Prefect's server did not answer at {url} within {START_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)


def _is_healthy(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/api/health", timeout=5, trust_env=False).is_success
    except httpx2.HTTPError:
        return False


def _url(host: str, port: int) -> str:
    """Address for a browser on this machine."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
