"""The key of an endpoint: read from the environment, told to the endpoint, and nobody and nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.conftest import ROOT
from tests.flows.test_dataset import SAMPLE, build_command
from tests.servers.stub_llm import StubLlm

pytestmark = pytest.mark.slow

KEY = "sk-proj-7c2f-of-this-test-alone"


def holding(folder: Path, text: str) -> Iterator[Path]:
    """Files in a folder that have the text in them."""
    for path in folder.rglob("*"):
        if path.is_file() and text.encode() in path.read_bytes():
            yield path


def test_the_key_is_in_no_file_and_no_line_of_a_run(prefect_server, tmp_path: Path) -> None:
    run = tmp_path / "run"
    environment = {**prefect_server.environment, "MY_KEY": KEY}
    settings = {"llm__api_key_env": "MY_KEY", "select__limit": 3}

    def told(command: list[str], code: int) -> str:
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    with StubLlm(api_key=KEY) as stub:
        command = [*build_command(stub.endpoint, (SAMPLE,), run, settings), "--verbose"]
        # The stub, as real ones do, says which key it was that it does not take.
        stub.api_key = "another"
        refused = told(command, 1)
        assert "does not accept the key" in refused
        assert "environment variable MY_KEY" in refused
        stub.api_key, stub.rates = KEY, {"server_error": 0.1}
        built = told(command, 0)
        judged = told([sys.executable, "-m", "pipeline", "recheck", str(run)], 0)
        assert {seen.authorization for seen in stub.requests} == {f"Bearer {KEY}"}
    for text in (refused, built, judged):
        assert KEY not in text
    # The variable's name is part of the config, which both of these keep.
    assert set(holding(run, "MY_KEY")) == {run / "config.json", run / "publish.json"}
    assert list(holding(run, KEY)) == []
    # Parameters, states, results and logs of the Prefect server, in its database.
    assert list(holding(prefect_server.home, "MY_KEY")) != []
    assert list(holding(prefect_server.home, KEY)) == []
