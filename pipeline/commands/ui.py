"""`openmementos ui`: a Prefect server with its UI, until Ctrl-C."""

import signal
import socket
import subprocess
import time
from typing import Annotated

import httpx2
import typer

from pipeline.commands.console import messages
from pipeline.commands.guarded import guarded

# The first start creates the database, which takes 10 to 30 s.
START_SECONDS = 180.0
LOOK_SECONDS = 0.2


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of server and UI.")] = 4200,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 lets other machines in, unasked.")
    ] = "127.0.0.1",
) -> None:
    """Start a Prefect server and its UI: runs, their tasks and results, deployments, schedules.

    It keeps what it knows in ~/.prefect (or PREFECT_HOME) and runs until Ctrl-C. Builds, deployments and
    workers find it where PREFECT_API_URL names it.

    Examples:

      openmementos ui

      openmementos ui --port 4300
    """
    console = messages(stderr=False)
    _check_free(host, port)
    url = _url(host, port)
    # A service is stopped by SIGTERM, a person's command by Ctrl-C: both end the server first.
    # Said for SIGINT too, since a shell's background jobs start with it ignored.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    console.print("starting Prefect's server (the first time it creates its database: up to half a minute)")
    command = ["server", "start", "--host", host, "--port", str(port)]
    try:
        with guarded(command, _settings(host, port), subprocess.DEVNULL) as server:
            _wait_healthy(server, url)
            console.print(f"Prefect's UI is at {url}  (Ctrl-C stops it)")
            console.print("other terminals use it after:")
            console.print(f"  export PREFECT_API_URL={url}/api")
            raise _ended(server.wait())
    except KeyboardInterrupt:
        console.print("stopped")


class ServerError(Exception):
    """Prefect's server cannot be started, ended, or did not answer in time; the message says why."""


def _ended(code: int) -> ServerError:
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
            raise _ended(server.returncode)
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
