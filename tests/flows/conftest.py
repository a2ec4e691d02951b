import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START_SECONDS = 120


@dataclass(frozen=True)
class PrefectServer:
    """A real Prefect server of this test session, with a database of its own."""

    api_url: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs in its environment to use the server."""
        # Commands that other tests run in this process leave their Prefect settings in its environment.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return {
            **clean,
            "PREFECT_API_URL": self.api_url,
            "PREFECT_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
        }


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory) -> Iterator[PrefectServer]:
    home = tmp_path_factory.mktemp("prefect")
    port = free_port()
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    with (home / "server.log").open("w") as log:
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}/api"
            wait_until_healthy(f"{url}/health", server, home / "server.log")
            yield PrefectServer(url, home)
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
    pytest.fail(f"Prefect server is not healthy after {START_SECONDS} s: {log.read_text()}")
