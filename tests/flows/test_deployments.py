"""Deploying, serving and looking at builds, as a person does it: commands, a real server, a browser."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from flows.deployments import _is_left_behind, end_lost_runs, worker_name
from pipeline.cli import app
from tests.browser import chromium, needs_chromium
from tests.flows.conftest import ROOT, free_port
from tests.servers.stub_llm import StubLlm

pytestmark = pytest.mark.slow

# Not more often: a server flooded with runs that are cancelled at once has been seen to stop answering.
EVERY_FEW_SECONDS = "* * * * * */20"
# Beyond the most that Linux gives to a process.
NO_PROCESS = 2**22 + 1


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
        url = f"{self.url}/api/{path}"
        # On a busy machine its database has no time, and it asks to be asked again.
        while (reply := httpx2.post(url, json=question, timeout=120, trust_env=False)).status_code == 503:
            time.sleep(1)
        return reply.raise_for_status().json()

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """The runs of a deployment that have begun; those that a running one made needless left out."""
        return [run for run in self.known(deployment) if run["start_time"]]

    def known(self, deployment: str) -> list[dict[str, Any]]:
        """All runs of a deployment."""
        found: list[dict[str, Any]] = self.ask(
            "flow_runs/filter", deployments={"name": {"any_": [deployment]}}
        )
        return found

    def in_state(self, deployment: str, state: str) -> list[dict[str, Any]]:
        return [run for run in self.runs(deployment) if run["state_type"] == state]

    def deploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["deploy", "--config", str(ROOT / "flows/configs/sample.yaml"), *arguments]
        return openmementos(self.environment, *command)


@dataclass(frozen=True)
class Story:
    """What was seen while two scheduled runs of one deployment happened, the second with nothing new."""

    first: dict[str, Any]
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
def story(server) -> Story:
    run_dir = server.folder / "nightly"
    with StubLlm() as stub:
        common = ["--name", "nightly", "--run-dir", str(run_dir), "--limit", "4"]
        common += ["--endpoint", stub.endpoint, "--model", "stub", "--set", "traces_per_shard=2"]
        with started(server, "serve") as serving:
            by_clock = ["--cron", EVERY_FEW_SECONDS, "--timezone", "Europe/Berlin"]
            succeeded(server.deploy(*common, *by_clock))
            first = wait_for(lambda: server.in_state("nightly", "COMPLETED"), 120, serving)[0]
            # The next one has yet to start its process, since the two may not work at once.
            files, requests = digests(run_dir), stub.totals.requests

            def later() -> list[dict[str, Any]]:
                return [run for run in server.in_state("nightly", "COMPLETED") if run["id"] != first["id"]]

            wait_for(later, 120, serving)
            succeeded(server.deploy(*common))
    deployments = server.ask("deployments/filter", deployments={"name": {"any_": ["nightly"]}})
    return Story(first, files, digests(run_dir), requests, stub.totals.requests, deployments)


def test_a_scheduled_run_completes_under_a_name_that_says_what_it_builds(story):
    assert story.first["auto_scheduled"]
    assert story.first["state_type"] == "COMPLETED"
    assert story.first["name"] == "openmementos-sample → nightly"


def test_a_scheduled_run_leaves_funnel_statistics_and_ways_to_look_at_what_came_out(server, story):
    found = server.ask("artifacts/filter", artifacts={"flow_run_id": {"any_": [story.first["id"]]}})
    keys = {artifact["key"] for artifact in found}
    names = ("funnel", "statistics", "dataset", "report")
    # Only a run that lasts some seconds tells how far it is.
    assert keys - {"openmementos-sample-live"} == {f"openmementos-sample-{name}" for name in names}
    told = {artifact["key"].removeprefix("openmementos-sample-"): artifact["data"] for artifact in found}
    folder = server.folder / "nightly"
    assert f"load_dataset('{folder}/publish'" in told["dataset"]
    assert f"openmementos view {folder}\n" in told["report"]
    assert f"ssh -L 8377:127.0.0.1:8377 {socket.gethostname()} 'openmementos view {folder}" in told["report"]
    # No browser follows a link from a server's page to a file.
    assert "file:" not in str(told)


def test_a_second_run_with_nothing_new_changes_nothing_and_asks_no_model(story):
    assert story.requests_after_first > 0
    assert story.requests_after_second == story.requests_after_first
    assert any(name.startswith("publish/data/") for name in story.files_after_first)
    assert story.files_after_second == story.files_after_first


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


@pytest.mark.exhaustive
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


def test_what_was_running_when_serve_was_killed_is_crashed_and_holds_up_no_later_run(server):
    with StubLlm(rates={"hang": 1.0}) as stub:
        deployed = server.deploy(
            "--name", "killed", "--run-dir", str(server.folder / "killed"),
            "--endpoint", stub.endpoint, "--model", "stub", "--limit", "1",
        )  # fmt: skip
        succeeded(deployed)
        identity = deployed.stdout.split("/deployments/deployment/")[1].split()[0]
        with started(server, "serve", is_killed=True) as serving:
            server.ask(f"deployments/{identity}/create_flow_run")
            wait_for(lambda: stub.totals.running, 120, serving)
            kill_with_children(serving.process)
        (killed,) = server.in_state("killed", "RUNNING")
        stub.rates = {}
        with started(server, "serve") as serving:
            (crashed,) = wait_for(lambda: server.in_state("killed", "CRASHED"), 120, serving)
            server.ask(f"deployments/{identity}/create_flow_run")
            wait_for(lambda: server.in_state("killed", "COMPLETED"), 120, serving)
        assert crashed["id"] == killed["id"]
        assert "its process is gone" in crashed["state"]["message"]
        assert f"{killed['name']}: its process is gone" in serving.log.read_text()
        # None was cancelled for the one that is gone.
        assert sorted(run["state_type"] for run in server.known("killed")) == ["COMPLETED", "CRASHED"]


def test_a_run_that_a_process_of_this_host_works_on_is_left_alone(server, monkeypatch):
    with StubLlm(rates={"hang": 1.0}) as stub:
        deployed = server.deploy(
            "--name", "busy", "--run-dir", str(server.folder / "busy"),
            "--endpoint", stub.endpoint, "--model", "stub", "--limit", "1",
        )  # fmt: skip
        identity = deployed.stdout.split("/deployments/deployment/")[1].split()[0]
        with started(server, "serve") as serving:
            server.ask(f"deployments/{identity}/create_flow_run")
            wait_for(lambda: stub.totals.running, 120, serving)
            with temporary_settings({PREFECT_API_URL: f"{server.url}/api"}):
                assert end_lost_runs() == []
                # Nor where its `serve` is gone, or cannot be told.
                monkeypatch.setattr("flows.deployments._is_left_behind", lambda worker: True)
                assert end_lost_runs() == []
            assert server.in_state("busy", "RUNNING")


@pytest.mark.parametrize(
    ("worker", "is_left_behind"),
    [
        (worker_name(), True),
        (f"openmementos-{socket.gethostname()}-{NO_PROCESS}", True),
        (f"openmementos-{socket.gethostname()}-{os.getppid()}", True),
        (f"openmementos-{socket.gethostname()}-1-{NO_PROCESS}", False),
        (f"openmementos-elsewhere-{NO_PROCESS}", False),
        (f"ProcessWorker {NO_PROCESS}", False),
        (str(NO_PROCESS), False),
        ("", False),
    ],
    # Numbers of processes are no names: each process of a parallel run of tests has its own.
    ids=["itself", "gone", "another serve's", "another host's 1", "elsewhere", "not named", "number", "none"],
)
def test_a_worker_is_left_behind_where_its_host_is_this_one_and_its_serve_is_gone(worker, is_left_behind):
    assert _is_left_behind(worker) is is_left_behind


def test_a_serve_that_lives_is_not_left_behind_but_in_a_container_all_have_one_number(monkeypatch):
    serving = type("Serving", (), {"cmdline": lambda self: ["python", "-m", "pipeline", "serve"]})
    monkeypatch.setattr("flows.deployments.psutil.Process", lambda pid: serving())
    assert not _is_left_behind(f"openmementos-{socket.gethostname()}-{os.getppid()}")
    assert _is_left_behind(worker_name())


def test_deploying_tells_what_is_wrong_with_source_and_endpoint(server):
    deployed = server.deploy(
        "--name", "early", "--source", "not-there.jsonl",
        "--endpoint", "http://127.0.0.1:9/v1", "--model", "m",
    )  # fmt: skip
    succeeded(deployed)
    warnings = [line for line in deployed.stdout.splitlines() if line.startswith("warning: ")]
    assert "not-there.jsonl' matches no file of traces" in warnings[0]
    assert "endpoint http://127.0.0.1:9/v1: nobody answers there" in warnings[1]
    with StubLlm() as stub:
        said = server.deploy("--name", "early", "--endpoint", stub.endpoint, "--model", "stub").stdout
    assert "warning" not in said
    assert "source: 1 files" in said
    assert "serves stub" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cron", "99 * * * *"], '"0 3 * * *"'),
        (["--cron", "0 3 * * *", "--timezone", "Mars/Base"], "Europe/Berlin"),
        (["--name", "a/b"], "cannot have /"),
    ],
)
def test_what_cannot_be_deployed_says_what_to_do(server, monkeypatch, arguments, said):
    assert said in refused_by_deploy(monkeypatch, f"{server.url}/api", *arguments)


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/api"])
def test_a_missing_server_is_told_with_the_way_to_start_one(monkeypatch, url):
    assert "openmementos ui" in refused_by_deploy(monkeypatch, url)


@needs_chromium
def test_a_browser_shows_runs_results_and_the_form_of_a_deployment(server, story):
    deployment = story.deployments[0]["id"]
    pages = {
        f"runs/flow-run/{story.first['id']}": ["openmementos-sample → nightly", "Completed", "9 Task runs"],
        "artifacts": ["openmementos-sample-funnel", "openmementos-sample-report"],
        f"deployments/deployment/{deployment}/run": ["Smallest block, in tokens.", "sample/traces.jsonl"],
    }
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 3000})
        for address, wanted in pages.items():
            page.goto(f"{server.url}/{address}")
            page.wait_for_function(SHOWS_ALL, arg=wanted, timeout=60_000)


# Whether a person reads all of these texts on the page, the content of its fields too.
SHOWS_ALL = """wanted => {
    const fields = [...document.querySelectorAll("input, textarea")].map(field => field.value);
    const shown = [document.body.innerText, ...fields].join("\\n").toLowerCase();
    return wanted.every(text => shown.includes(text.toLowerCase()));
}"""


def refused_by_deploy(monkeypatch: pytest.MonkeyPatch, url: str | None, *arguments: str) -> str:
    """What the command prints when it ends with exit code 1."""
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "ERROR")
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    command = ["deploy", "--config", str(ROOT / "flows/configs/sample.yaml"), *arguments]
    with temporary_settings({PREFECT_API_URL: url}):
        done = CliRunner().invoke(app, command)
    assert done.exit_code == 1, done.output
    return done.output


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
def started(server: Server, *arguments: str, is_killed: bool = False) -> Iterator["Running"]:
    """A command that runs until Ctrl-C, which it gets, as from a terminal, when the block ends.

    is_killed: the block ends it by other means.
    """
    log = server.folder / f"{arguments[0]}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *arguments],
            env=server.environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            yield Running(process, log)
            if not is_killed:
                os.killpg(process.pid, signal.SIGINT)
                assert process.wait(90) == 0, log.read_text()
        finally:
            if process.poll() is None:
                process.kill()


def kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all that it has started as a machine's crash does: none can say anything."""
    family = psutil.Process(process.pid).children(recursive=True)
    for one in [psutil.Process(process.pid), *family]:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    psutil.wait_procs(family, 60)


def wait_for(condition: Callable[[], Any], seconds: float, running: Running) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {running.log.read_text()}"
        assert running.is_alive(), running.log.read_text()
        time.sleep(0.1)
    return found


def is_healthy(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/api/health", timeout=5, trust_env=False).is_success
    except httpx2.HTTPError:
        return False


def digests(run_dir: Path) -> dict[str, str]:
    """Digests of what a run published, and of its shards and manifests; not of how far it says it is."""
    files = [path.relative_to(run_dir) for path in sorted(run_dir.rglob("*")) if path.is_file()]
    kept = [file for file in files if file.parent.name not in ("", "progress")]
    return {str(file): hashlib.sha256((run_dir / file).read_bytes()).hexdigest() for file in kept}
