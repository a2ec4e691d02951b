"""Deploying, serving and looking at builds, as a person does it: commands, a real server, a browser."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flows.conftest import ROOT, free_port
from tests.servers.stub_llm import StubLlm

pytestmark = pytest.mark.slow

EVERY_FEW_SECONDS = "* * * * * */5"


@dataclass(frozen=True)
class Server:
    """A Prefect server that `openmementos ui` started, and a folder for what its runs make."""

    url: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        quick = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "1"}
        own = {"PREFECT_HOME": str(self.folder / "prefect"), "PYTHONPATH": str(ROOT)}
        return {**os.environ, **own, **quick, "PREFECT_API_URL": f"{self.url}/api"}

    def ask(self, path: str, **question: Any) -> Any:
        reply = httpx.post(f"{self.url}/api/{path}", json=question, timeout=30, trust_env=False)
        return reply.raise_for_status().json()

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """The runs of a deployment that have begun; those that a running one made needless left out."""
        found = self.ask("flow_runs/filter", deployments={"name": {"any_": [deployment]}})
        return [run for run in found if run["total_run_time"] and run["state_type"] != "SCHEDULED"]

    def in_state(self, deployment: str, state: str) -> list[dict[str, Any]]:
        return [run for run in self.runs(deployment) if run["state_type"] == state]

    def deploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["deploy", "--config", str(ROOT / "flows/configs/sample.yaml"), *arguments]
        return openmementos(self.environment, *command)


@dataclass(frozen=True)
class Story:
    """What was seen while two scheduled runs of one deployment happened, the second with nothing new."""

    first: dict[str, Any]
    second: dict[str, Any]
    files_after_first: dict[str, str]
    files_after_second: dict[str, str]
    requests_after_first: int
    requests_after_second: int
    deployments: list[dict[str, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("deployments")
    port = free_port()
    server = Server(f"http://127.0.0.1:{port}", folder)
    with started(server, "ui", "--port", str(port)) as process:
        wait_for(lambda: is_healthy(server.url), 120, process)
        yield server
    assert not is_healthy(server.url), "the server outlived `openmementos ui`"


@pytest.fixture(scope="module")
def story(server) -> Iterator[Story]:
    run_dir = server.folder / "nightly"
    with StubLlm() as stub:
        common = ["--name", "nightly", "--run-dir", str(run_dir), "--limit", "4"]
        common += ["--endpoint", stub.endpoint, "--model", "stub", "--set", "traces_per_shard=2"]
        with started(server, "serve") as serving:
            by_clock = ["--cron", EVERY_FEW_SECONDS, "--timezone", "Europe/Berlin"]
            succeeded(server.deploy(*common, *by_clock))
            wait_for(lambda: server.in_state("nightly", "COMPLETED"), 120, serving)
            succeeded(server.deploy(*common))
            wait_for(lambda: not server.in_state("nightly", "RUNNING"), 60, serving)
            before = {run["id"] for run in server.runs("nightly")}
            first = min(server.in_state("nightly", "COMPLETED"), key=lambda run: run["start_time"])
            files, requests = digests(run_dir), stub.totals.requests
            succeeded(server.deploy(*common, *by_clock))

            def later() -> list[dict[str, Any]]:
                return [run for run in server.in_state("nightly", "COMPLETED") if run["id"] not in before]

            second = wait_for(later, 120, serving)[0]
            succeeded(server.deploy(*common))
        yield Story(
            first,
            second,
            files,
            digests(run_dir),
            requests,
            stub.totals.requests,
            server.ask("deployments/filter", deployments={"name": {"any_": ["nightly"]}}),
        )


def test_a_scheduled_run_completes_under_a_name_that_says_what_it_builds(story):
    assert story.first["auto_scheduled"]
    assert story.first["state_type"] == "COMPLETED"
    assert story.first["name"] == "openmementos-sample → nightly"


def test_a_scheduled_run_leaves_funnel_statistics_and_link(server, story):
    found = server.ask("artifacts/filter", artifacts={"flow_run_id": {"any_": [story.first["id"]]}})
    keys = {artifact["key"] for artifact in found}
    assert keys == {f"openmementos-sample-{name}" for name in ("funnel", "statistics", "dataset")}


def test_a_second_run_with_nothing_new_changes_nothing_and_asks_no_model(story):
    assert story.requests_after_first > 0
    assert story.requests_after_second == story.requests_after_first
    assert any(name.startswith("publish/data/") for name in story.files_after_first)
    assert story.files_after_second == story.files_after_first


def test_a_second_run_with_nothing_new_ends_quickly(story):
    assert story.second["total_run_time"] < max(10.0, story.first["total_run_time"])


def test_deploying_again_updates_the_deployment_and_its_schedule(story):
    (deployment,) = story.deployments
    assert deployment["schedules"] == []


def test_the_form_of_a_deployment_shows_the_whole_config_with_paths_that_hold_anywhere(story):
    (deployment,) = story.deployments
    fields = deployment["parameter_openapi_schema"]["definitions"]
    assert (
        fields["PartitionConfig"]["properties"]["min_tokens"]["description"] == "Smallest block, in tokens."
    )
    build = deployment["parameters"]["build"]
    assert build["source"]["paths"] == [str(ROOT / "data/sample/traces.jsonl")]
    assert build["select"]["limit"] == 4


def test_ctrl_c_ends_runs_in_progress_and_says_so_on_the_server(server):
    with StubLlm(faults=["hang"] * 10_000) as stub:
        deployed = server.deploy(
            "--name", "endless", "--run-dir", str(server.folder / "endless"),
            "--endpoint", stub.endpoint, "--model", "stub", "--limit", "1",
        )  # fmt: skip
        succeeded(deployed)
        identity = deployed.stdout.split("/deployments/deployment/")[1].split()[0]
        with started(server, "serve") as serving:
            server.ask(f"deployments/{identity}/create_flow_run")
            wait_for(lambda: stub.totals.running, 120, serving)
        (run,) = server.runs("endless")
        assert run["state_type"] == "CANCELLED"
        assert stub.totals.running == 0


@pytest.mark.parametrize(
    ("arguments", "api", "said"),
    [
        (["--cron", "99 * * * *"], None, 'e.g. "0 3 * * *"'),
        (["--cron", "0 3 * * *", "--timezone", "Mars/Base"], None, "Europe/Berlin"),
        (["--name", "a/b"], None, "cannot have /"),
        ([], "", "make ui"),
        ([], "http://127.0.0.1:9/api", "make ui"),
    ],
)
def test_what_cannot_be_deployed_says_what_to_do(server, arguments, api, said):
    environment = server.environment | ({} if api is None else {"PREFECT_API_URL": api})
    if api == "":
        del environment["PREFECT_API_URL"]
    command = ["deploy", "--config", str(ROOT / "flows/configs/sample.yaml"), *arguments]
    done = openmementos(environment, *command)
    assert done.returncode == 1
    assert said in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("runs/flow-run/{run}", ["openmementos-sample → nightly", "Completed", "write mementos: shard 1"]),
        ("artifacts", ["openmementos-sample-funnel"]),
        ("deployments/deployment/{deployment}/run", ["Smallest block, in tokens.", "traces.jsonl"]),
    ],
)
def test_a_browser_shows(server, story, tmp_path, page, said):
    path = page.format(run=story.first["id"], deployment=story.deployments[0]["id"])
    shown = page_in_browser(f"{server.url}/{path}", tmp_path)
    assert [text for text in said if text not in shown] == []


def openmementos(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)


def succeeded(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Running:
    """A command that runs, and where its output goes."""

    process: subprocess.Popen[bytes]
    log: Path

    def is_alive(self) -> bool:
        return self.process.poll() is None


@contextmanager
def started(server: Server, *arguments: str) -> Iterator["Running"]:
    """A command that runs until Ctrl-C, which it gets, as from a terminal, when the block ends."""
    log = server.folder / f"{arguments[0]}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *arguments],
            env=server.environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            yield Running(process, log)
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(90) == 0, log.read_text()
        finally:
            if process.poll() is None:
                process.kill()


def wait_for(condition: Callable[[], Any], seconds: float, running: Running) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {running.log.read_text()}"
        assert running.is_alive(), running.log.read_text()
        time.sleep(0.1)
    return found


def is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/health", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def digests(run_dir: Path) -> dict[str, str]:
    """Digests of what a run published, and of every stage's shards and manifests."""
    files = [path for path in sorted(run_dir.rglob("*")) if path.is_file() and path.parent != run_dir]
    return {str(path.relative_to(run_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def page_in_browser(url: str, profile: Path) -> str:
    """The page's document after its scripts have run."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += [f"--user-data-dir={profile}", "--window-size=1300,3000", "--virtual-time-budget=20000"]
    command = ["chromium", *flags, "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout
