"""What is seen of a build while it works: RUN/status.json, one artifact in Prefect, lines."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from pipeline.run.status import Status, read_status
from pipeline.run.status_writer import written_status
from pipeline.run.store import RunFolder
from tests.flows.conftest import ROOT, PrefectServer, free_port
from tests.flows.test_dataset import SAMPLE, build_command
from tests.run.status_runs import PRICED
from tests.servers.stub_llm import StubLlm

T = TypeVar("T")
pytestmark = pytest.mark.slow

KEY = "live-test-live"
SECONDS = 120


def test_a_run_at_work_is_seen_in_its_folder_in_prefect_and_in_lines(prefect_server, tmp_path):
    run = RunFolder(tmp_path / "run")
    settings = {"name": "live-test", "llm__max_in_flight": 2}
    # So slow that it cannot end before it has been looked at.
    with StubLlm(latency_seconds=2) as stub, (tmp_path / "err").open("w") as err:
        command = build_command(stub.endpoint, (SAMPLE,), run.root, settings)
        process = subprocess.Popen(
            command, env=prefect_server.environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=err
        )
        (shown,) = until(lambda: artifacts(prefect_server), process)
        assert shown["data"].startswith("**working**: ")
        working = until(lambda: running(run), process)
        stub.latency_seconds = 0
        assert process.wait(SECONDS) == 0
    (at_last,) = artifacts(prefect_server)
    assert at_last["id"] == shown["id"]
    assert at_last["flow_run_id"] is not None
    assert at_last["data"].startswith("**done**: ")
    assert "| write mementos | 18/18 |" in at_last["data"]
    status = read_status(run)
    assert status is not None
    assert (status.state, status.started_at) == ("done", working.started_at)
    assert {(stage.done, stage.expected, stage.rejected, stage.failed) for stage in status.stages} == {
        (18, 18, 0, 0)
    }
    totals = json.loads(run.totals.read_text())["usage"]
    asked = {stage.name: stage.requests for stage in status.stages}
    assert asked["score"] == totals["score"]["requests"]
    assert sum(asked.values()) == sum(used["requests"] for used in totals.values()) == stub.totals.requests
    assert "split into sentences: 18 of 18 traces" in (tmp_path / "err").read_text()
    assert [path.name for path in (run.root / "progress").iterdir()] == ["step.txt"]


def test_a_prefect_server_that_does_not_answer_stops_nothing(tmp_path, monkeypatch):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.live_artifact import live_artifact

    run = RunFolder(tmp_path)
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", str(uuid4()))
    nobody = temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"})
    with nobody, live_artifact(run, "small"), written_status(run, PRICED):
        run.tell("working")
    status = read_status(run)
    assert status is not None
    assert (status.state, status.step) == ("done", "working")


def running(run: RunFolder) -> Status | None:
    """The status, once it says that requests run."""
    status = read_status(run)
    return status if status is not None and any(stage.running for stage in status.stages) else None


def artifacts(server: PrefectServer) -> list[dict[str, Any]]:
    """All versions of the artifact of that key."""
    body = json.dumps({"artifacts": {"key": {"any_": [KEY]}}}).encode()
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"{server.api_url}/artifacts/filter", body, headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return json.loads(answer.read())


def until(look: Callable[[], T | None], process: subprocess.Popen[bytes]) -> T:
    """What is seen, once there is something."""
    deadline = time.monotonic() + SECONDS
    while not (seen := look()):
        assert process.poll() is None, "the run ended before it was seen"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return seen
