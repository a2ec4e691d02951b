"""The whole build as a user runs it, with a stub in place of the model."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.records import parse
from tests.flows.conftest import ROOT
from tests.servers.hub import Hub
from tests.servers.stub_llm import StubLlm

pytestmark = pytest.mark.slow

SAMPLE = ROOT / "data" / "sample" / "traces.jsonl"
LINES = (
    "First, take the case of {i} apples.",
    "That gives {i} + 1 = {j}.",
    "Now check the other case, with {i} pears.",
)


@pytest.fixture
def build(prefect_server, tmp_path):
    """Runs `openmementos build` on sources against a stub; the finished process."""

    def run(
        endpoint: str, *sources: Path, run_dir: Path = tmp_path / "run", **overrides: Any
    ) -> subprocess.CompletedProcess[str]:
        command = build_command(endpoint, sources, run_dir, overrides)
        return subprocess.run(
            command, env=prefect_server.environment, cwd=ROOT, capture_output=True, text=True, timeout=240
        )

    return run


def build_command(
    endpoint: str, sources: tuple[Path, ...], run_dir: Path, overrides: dict[str, Any]
) -> list[str]:
    command = [sys.executable, "-m", "pipeline", "build", "--config", "flows/configs/sample.yaml", "--json"]
    command += ["--endpoint", endpoint, "--model", "stub", "--run-dir", str(run_dir)]
    # The form with the most requests: more moments to be interrupted at.
    command += ["--set", "score.form=window"]
    for source in sources:
        command += ["--source", str(source)]
    for key, value in overrides.items():
        command += ["--set", f"{key.replace('__', '.')}={json.dumps(value)}"]
    return command


def totals(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def sample_rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]


def trace(reasoning: str, answer: str = "Done: 42.") -> dict[str, Any]:
    value = f"<think>{reasoning}</think>{answer}"
    talk = [{"from": "human", "value": "How many?"}, {"from": "gpt", "value": value}]
    return {"difficulty": None, "source": "test", "domain": "math", "conversations": talk}


def long_reasoning(lines: int) -> str:
    return "\n\n".join(LINES[i % 3].format(i=i, j=i + 1) for i in range(lines))


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_traces_in_a_loadable_dataset_out(build, tmp_path):
    with StubLlm() as stub:
        told = totals(build(stub.endpoint, SAMPLE))
    assert (told["traces_in"], told["done"], told["failed"]) == (20, 18, 0)
    assert told["rejected"] == {"cut_before_think_end": 1, "language": 1}
    published = {row["problem"]: row for row in pq.read_table(tmp_path / "run/publish/data").to_pylist()}
    for row in sample_rows():
        question, value = (turn["value"] for turn in row["conversations"])
        if question in published:
            parsed = parse(published[question]["response"])
            assert f"<think>{''.join(parsed.blocks)}</think>{parsed.answer}" == value
            assert len(parsed.blocks) == len(parsed.mementos)
    assert json.loads((tmp_path / "run/run.json").read_text()) == told


def test_building_twice_does_nothing_twice(build, tmp_path):
    with StubLlm() as stub:
        first = totals(build(stub.endpoint, SAMPLE))
        asked = len(stub.requests)
        before = digests(tmp_path / "run" / "publish")
        manifests = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").glob("*/shard-*.json")}
        second = totals(build(stub.endpoint, SAMPLE))
        assert len(stub.requests) == asked
    assert digests(tmp_path / "run" / "publish") == before
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").glob("*/shard-*.json")} == manifests
    assert {**second, "seconds": 0} == {**first, "seconds": 0}


@pytest.mark.exhaustive
def test_a_finished_build_is_judged_again_by_the_config_it_was_built_with(build, prefect_server, tmp_path):
    with StubLlm() as stub:
        told = totals(build(stub.endpoint, SAMPLE, mementos__context="block", select__limit=4))
        command = [sys.executable, "-m", "pipeline", "recheck", str(tmp_path / "run"), "--json"]
        environment = prefect_server.environment
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    again = totals(done)
    assert again["judged"]["done"] == told["done"] == 4
    everything = again["domains"]["all"]
    assert everything["same_verdict"] == everything["correlation"] == pytest.approx(1)
    assert everything["figures"]["points_formulas"]["b"] == pytest.approx(told["points"]["kept"]["formulas"])


def test_a_grown_source_adds_its_new_traces_and_releases_the_next_tag(build, tmp_path, monkeypatch):
    rows = sample_rows()
    with StubLlm() as stub, Hub() as hub:
        for name, value in {**hub.environment, "HF_HOME": str(tmp_path / "home")}.items():
            monkeypatch.setenv(name, value)
        published = {"publish__to": "org/sample", "publish__tag": "auto"}
        for size, tag in ((6, "v1"), (6, "v1"), (len(rows), "v2")):
            asked = len(stub.requests)
            source = write_jsonl(tmp_path / "traces.jsonl", rows[:size])
            totals(build(stub.endpoint, source, **published))
            repo = hub.dataset("org/sample")
            assert repo.refs[f"refs/tags/{tag}"] == repo.refs["refs/heads/main"]
    assert [pull.status for pull in repo.pulls] == ["merged", "merged"]
    old = [row["conversations"][0]["value"] for row in rows[:6]]
    new = json.dumps([seen.body for seen in stub.requests[asked:]])
    assert json.dumps(rows[-1]["conversations"][0]["value"])[1:-1] in new
    assert not [problem for problem in old if json.dumps(problem)[1:-1] in new]
    for folder in ("data", "full", "audit"):
        first, second = (released_rows(hub, tag, folder) for tag in ("v1", "v2"))
        assert 0 < len(first) < len(second)
        assert second[: len(first)] == first
    files = hub.files("org/sample")
    lines = files["README.md"].decode().split("## Changes\n\n")[1].splitlines()
    assert lines == [
        f"- **v2**: {len(second)} traces ({len(second) - len(first)} new)",
        f"- **v1**: {len(first)} traces ({len(first)} new)",
    ]
    local = digests(tmp_path / "run" / "publish")
    released = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    assert local.items() - released.items() == {("README.md", local["README.md"])}


def released_rows(hub: Hub, tag: str, folder: str) -> list[dict[str, Any]]:
    files = sorted(hub.files("org/sample", tag).items())
    tables = [pq.read_table(pa.BufferReader(data)) for path, data in files if path.startswith(f"{folder}/")]
    return [row for table in tables for row in table.to_pylist()]


def test_a_hub_that_refuses_the_token_stops_a_build_before_any_work(build, tmp_path, monkeypatch):
    with Hub() as hub:
        for name, value in {**hub.environment, "HF_HOME": str(tmp_path / "home")}.items():
            monkeypatch.setenv(name, value)
        hub.tokens = {"hf_another": ("maker", "write")}
        done = build("http://127.0.0.1:9/v1", publish__to="org/sample")
    assert done.returncode == 1
    assert "write permission" in done.stderr
    assert not (tmp_path / "run" / "ingest").exists()


@pytest.mark.exhaustive
def test_a_changed_threshold_pays_for_no_reply_again(build, tmp_path):
    with StubLlm() as stub:
        totals(build(stub.endpoint, SAMPLE, mementos__threshold=10))
        asked = len(stub.requests)
        totals(build(stub.endpoint, SAMPLE, mementos__threshold=0))
        assert len(stub.requests) == asked


def test_odd_input_ends_in_counted_outcomes(build, tmp_path):
    odd = write_jsonl(
        tmp_path / "odd.jsonl",
        [
            trace(long_reasoning(30)),
            trace("A planted <|block_end|> token. " + long_reasoning(20)),
            trace(f"One sentence {'and one more apple ' * 30}and no more."),
            trace(long_reasoning(5_200)),
        ],
    )
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.Table.from_pylist([trace(long_reasoning(9))]), whole)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-40])
    with StubLlm() as stub:
        told = totals(build(stub.endpoint, odd, empty, cut))
    assert told["rejected"] == {"special_token": 1, "empty_file": 1, "unreadable_file": 1}
    assert (told["traces_in"], told["done"], told["failed"]) == (6, 3, 0)
    shards = sorted((tmp_path / "run/records").glob("*.parquet"))
    rows = [row for shard in shards for row in pq.read_table(shard).to_pylist()]
    sizes = [sum(row["sentence_tokens"]) for row in rows]
    assert max(sizes) > 60_000
    assert [1] in [row["block_ends"] for row in rows if len(row["sentence_ends"]) == 1]


def test_failed_traces_are_never_published_and_done_on_the_next_run(build, tmp_path):
    broken = {"llm__max_attempts": 1, "llm__deadline_seconds": 20}
    with StubLlm(rates={"length": 0.1}, fault_seed=3) as stub:
        done = build(stub.endpoint, SAMPLE, **broken)
    told = totals(done, code=3)
    assert told["failed"] > 0
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"{told['failed']} traces failed, most often: a reply cut at max_tokens in each of 1"
    )
    assert last.endswith("run the same command to try them again")
    assert told["done"] == 18 - told["failed"] == pq.read_table(tmp_path / "run/publish/data").num_rows
    with StubLlm() as stub:
        told = totals(build(stub.endpoint, SAMPLE, **broken))
    assert (told["done"], told["failed"]) == (18, 0)


def test_a_run_that_loses_every_trace_has_failed_for_the_commonest_reason_and_keeps_what_was_published(
    build, prefect_server, tmp_path
):
    source = write_jsonl(tmp_path / "few.jsonl", sample_rows()[:4])
    with StubLlm() as stub:
        assert totals(build(stub.endpoint, source))["done"] == 4
    published = digests(tmp_path / "run/publish")
    with StubLlm(rates={"server_error": 1.0}) as stub:
        done = build(stub.endpoint, source, llm__deadline_seconds=3, llm__seed=1)
    told = totals(done, code=1)
    assert (told["done"], told["failed"]) == (0, 4)
    reason = "none of 4 traces is done, most often: no endpoint answered in time"
    assert reason in done.stderr
    assert "500" in told["shortfall"]
    assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "failed"
    assert digests(tmp_path / "run/publish") == published
    asked = {"sort": "START_TIME_DESC", "limit": 1}
    (run,) = httpx2.post(f"{prefect_server.api_url}/flow_runs/filter", json=asked, trust_env=False).json()
    assert run["state_type"] == "FAILED"
    assert reason in run["state"]["message"]


@pytest.mark.parametrize("traces_per_shard", [pytest.param(30, marks=pytest.mark.exhaustive), 1])
def test_a_run_in_which_every_trace_fails_stops_early_and_goes_on_later(
    build, tmp_path: Path, traces_per_shard: int
) -> None:
    rows = sample_rows()[:6] * 5
    source = tmp_path / "many.jsonl"
    with source.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows):
            asked, answered = row["conversations"]
            turns = [asked | {"value": f"Problem {number}"}, answered]
            file.write(json.dumps(row | {"conversations": turns}) + "\n")
    settings = {"traces_per_shard": traces_per_shard, "score__detector": "cues", "llm__max_attempts": 1}
    with StubLlm(rates={"length": 1.0}) as stub:
        done = build(stub.endpoint, source, **settings)
    assert done.returncode == 1
    assert "more than max_failure_rate (50%) allows" in done.stderr
    assert "fix the cause and run the same command" in done.stderr
    assert "Traceback" not in done.stderr
    with StubLlm() as stub:
        assert totals(build(stub.endpoint, source, **settings))["failed"] == 0


@pytest.mark.exhaustive
def test_a_wrong_model_name_stops_the_run_with_the_remedy(build):
    with StubLlm() as stub:
        done = build(stub.endpoint, SAMPLE, llm__model="other")
    assert done.returncode == 1
    assert "serves ['stub'], not 'other'" in done.stderr
    assert "set llm.model" in done.stderr


def test_a_killed_run_resumes_to_the_same_bytes(build, prefect_server, tmp_path):
    with StubLlm(latency_seconds=0.02) as stub:
        totals(build(stub.endpoint, SAMPLE, run_dir=tmp_path / "whole"))
        broken = tmp_path / "broken"
        command = build_command(stub.endpoint, (SAMPLE,), broken, {})
        for stage in ("score", "mementos"):
            process = subprocess.Popen(
                command,
                env=prefect_server.environment,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            wait_for_replies(broken, stage, process)
            process.send_signal(signal.SIGKILL)
            process.wait()
        asked = len(stub.requests)
        totals(build(stub.endpoint, SAMPLE, run_dir=broken))
        assert len(stub.requests) > asked
    assert digests(broken / "publish") == digests(tmp_path / "whole" / "publish")
    for stage in ("ingest", "split", "score", "partition", "mementos", "records"):
        assert shard_digests(broken, stage) == shard_digests(tmp_path / "whole", stage)


@pytest.mark.parametrize(
    "stop",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.exhaustive)],
    ids=lambda stop: stop.name,
)
def test_an_interrupted_run_ends_at_once_and_goes_on_later(build, prefect_server, tmp_path, stop):
    run = tmp_path / "run"
    # So many questions that scoring takes seconds: it must not be over when the signal comes.
    settings = {"score__window": 1}
    with StubLlm(latency_seconds=0.5) as stub, (tmp_path / "err").open("w") as err:
        command = build_command(stub.endpoint, (SAMPLE,), run, settings)
        process = subprocess.Popen(command, env=prefect_server.environment, cwd=ROOT, stdout=err, stderr=err)
        wait_for_replies(run, "score", process)
        process.send_signal(stop)
        # Far less than the rest of the run would take.
        assert process.wait(30) == 130
        assert "run the same command to go on" in (tmp_path / "err").read_text()
        assert not run.joinpath("publish").exists()
    with StubLlm() as stub:
        told = totals(build(stub.endpoint, SAMPLE, **settings))
    assert (told["done"], told["failed"]) == (18, 0)
    assert told["usage"]["score"]["replies_from_disk"] > 0


def test_however_often_ctrl_c_is_pressed_a_run_ends_in_a_line(prefect_server, tmp_path):
    run = tmp_path / "run"
    with StubLlm(latency_seconds=0.5) as stub, (tmp_path / "err").open("w") as err:
        command = build_command(stub.endpoint, (SAMPLE,), run, {"score__window": 1})
        process = subprocess.Popen(command, env=prefect_server.environment, cwd=ROOT, stdout=err, stderr=err)
        wait_for_replies(run, "score", process)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert process.returncode == 130
    said = (tmp_path / "err").read_text()
    assert "Traceback" not in said
    assert "run the same command to go on" in said.splitlines()[-1]
    assert "Error" not in said


@pytest.mark.exhaustive
def test_a_terminals_ctrl_c_reaches_all_and_still_ends_the_run_at_once(prefect_server, tmp_path):
    # No server is named, so the run has one of its own; a terminal signals the whole process group.
    environment = {k: v for k, v in prefect_server.environment.items() if k != "PREFECT_API_URL"}
    run = tmp_path / "run"
    with StubLlm(latency_seconds=0.5) as stub, (tmp_path / "err").open("w") as err:
        command = build_command(stub.endpoint, (SAMPLE,), run, {})
        environment["PREFECT_HOME"] = str(tmp_path / "prefect")
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=err, stderr=err, start_new_session=True
        )
        wait_for_replies(run, "score", process)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(40) == 130
    assert "run the same command to go on" in (tmp_path / "err").read_text()


def wait_for_replies(run: Path, stage: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        if any(path.stat().st_size > 5_000 for path in (run / "replies").glob(f"{stage}-*.jsonl")):
            return
    pytest.fail(f"no replies of {stage} in two minutes")


def shard_digests(run: Path, stage: str) -> dict[str, str]:
    return {name: digest for name, digest in digests(run / stage).items() if name.endswith(".parquet")}
