"""What a person reads who asks for a build that cannot be done."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.run.store import RunFolder
from tests.flows.conftest import ROOT, free_port
from tests.servers.stub_llm import StubLlm

pytestmark = pytest.mark.slow


@dataclass
class Attempt:
    """A build of the sample against a stub, before something is put wrong. options: by name, given last.

    environment: variables on top of the usual ones.
    """

    folder: Path
    stub: StubLlm
    until_done: ExitStack
    options: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def command(self) -> list[str]:
        usual = {"--endpoint": self.stub.endpoint, "--model": "stub", "--run-dir": str(self.folder / "run")}
        usual |= {"--config": "flows/configs/sample.yaml", "--limit": "2"} | self.options
        options = [part for option in usual.items() for part in option]
        return [sys.executable, "-m", "pipeline", "build", *options]


def no_such_source(attempt: Attempt) -> None:
    attempt.options["--source"] = "data/sample/trace.jsonl"


def unknown_key(attempt: Attempt) -> None:
    attempt.options["--set"] = "partition.min_token=3"


def wrong_model(attempt: Attempt) -> None:
    attempt.options["--model"] = "big"


def wrong_key(attempt: Attempt) -> None:
    attempt.stub.api_key = "another"


def nobody_listens(attempt: Attempt) -> None:
    attempt.options |= {
        "--endpoint": f"http://127.0.0.1:{free_port()}/v1",
        "--set": "llm.deadline_seconds=3",
    }


def file_in_the_way(attempt: Attempt) -> None:
    attempt.folder.joinpath("file").touch()
    attempt.options["--run-dir"] = str(attempt.folder / "file" / "run")


def run_folder_in_use(attempt: Attempt) -> None:
    attempt.until_done.enter_context(RunFolder(attempt.folder / "run").lock())


def no_prefect_server(attempt: Attempt) -> None:
    attempt.environment["PREFECT_API_URL"] = f"http://127.0.0.1:{free_port()}/api"


def no_prefect_address(attempt: Attempt) -> None:
    attempt.environment["PREFECT_API_URL"] = "localhost:4200/api"


@pytest.mark.parametrize(
    ("put_wrong", "cause", "remedy"),
    [
        (no_such_source, "data/sample/trace.jsonl", "did you mean"),
        (unknown_key, "unknown key 'partition.min_token'", "did you mean 'partition.min_tokens'"),
        (wrong_model, "serves ['stub'], not 'big'", "set llm.model"),
        pytest.param(wrong_key, "does not accept the key", "OPENAI_API_KEY", marks=pytest.mark.exhaustive),
        (nobody_listens, "http://127.0.0.1:", "llm.endpoints"),
        (file_in_the_way, "file/run: cannot be made", "--run-dir"),
        (no_prefect_server, "no Prefect server answers at http://127.0.0.1:", "openmementos ui"),
        (no_prefect_address, "no Prefect server answers at localhost:4200/api", "correct the address"),
        pytest.param(run_folder_in_use, "another run", "--run-dir", marks=pytest.mark.exhaustive),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_build_that_cannot_be_done_says_once_what_is_wrong_and_what_to_do(
    prefect_server, tmp_path, put_wrong: Callable[[Attempt], None], cause: str, remedy: str
) -> None:
    with StubLlm() as stub, ExitStack() as until_done:
        attempt = Attempt(tmp_path, stub, until_done)
        put_wrong(attempt)
        done = subprocess.run(
            attempt.command(),
            env={**prefect_server.environment, "OPENAI_API_KEY": "given"} | attempt.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.count("error: ") == 1
    message = done.stderr.partition("error: ")[2]
    assert cause in message
    assert remedy in message
    assert done.stdout == ""
