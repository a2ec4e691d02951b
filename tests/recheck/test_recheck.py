import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config import BuildConfig
from pipeline.config_file import load_config
from pipeline.files.atomic import file_digest, write_json
from pipeline.ingest import ingest
from pipeline.llm.admission import Admission
from pipeline.llm.concurrency import ConcurrencyLimit
from pipeline.llm.serving import ServedModel
from pipeline.run.store import RunFolder
from pipeline.stages.registry import JOURNEYS
from pipeline.stages.run_shard import run_stages
from schemas.replies import Verdict
from tests.servers.stub_llm import StubLlm

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample" / "traces.jsonl"
MOST = Verdict.most_points()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run of eight traces in four shards."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    with StubLlm() as stub:
        build = BuildConfig.model_validate(
            {
                "name": "small",
                "source": {"paths": [str(SAMPLE)]},
                "select": {"limit": 8},
                "score": {"detector": "cues"},
                "llm": {"model": "stub", "endpoints": [stub.endpoint]},
                "traces_per_shard": 2,
            }
        )
        shards = ingest(build, run, lambda done, total: None)
        for shard in range(shards):
            for stages in JOURNEYS:
                run_stages([stage.name for stage in stages], shard, run, build, served(stub))
    write_json(build.model_dump(mode="json"), run.config_file)
    return run.root


def served(stub: StubLlm) -> ServedModel:
    return ServedModel((stub.endpoint,), "stub", ConcurrencyLimit(24), Admission({stub.endpoint: None}, 24))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def told(run: Path, *options: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["recheck", *map(str, (run, *options))], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.stderr
    return result


def rechecked(run: Path, stub: StubLlm, *options: object, code: int = 0) -> dict[str, Any]:
    result = told(run, "--endpoint", stub.endpoint, "--json", *options, code=code)
    return json.loads(result.stdout)


def judge_with(points: dict[str, int], *missing: str) -> StubLlm:
    """A judge that gives every memento these points."""
    return StubLlm(answer=lambda body: json.dumps({**points, "missing": list(missing)}))


def rows(folder: Path, stage: str) -> list[dict[str, Any]]:
    return [
        row for path in sorted((folder / stage).glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def digests(folder: Path, pattern: str = "**/*") -> dict[str, str]:
    return {str(p.relative_to(folder)): file_digest(p) for p in sorted(folder.glob(pattern)) if p.is_file()}


def mementos_of(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [memento for row in rows for memento in row["mementos"]]


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    while not ready():
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"the recheck ended before it could be stopped: {process.wait(0.05)}")


def test_mementos_keep_their_texts_and_get_new_points(run: Path) -> None:
    strict = {**MOST, "formulas": 0, "values": 1}
    with judge_with(strict, "x = 3") as stub:
        done = rechecked(run, stub)
    before, after = rows(run, "records"), rows(Path(done["b"]), "recheck")
    assert [row["trace_id"] for row in after] == [row["trace_id"] for row in before]
    assert len(before) == done["judged"]["done"] == done["judged"]["traces"] == 8
    for one, other in zip(mementos_of(before), mementos_of(after), strict=True):
        assert (other["text"], other["tokens"]) == (one["text"], one["tokens"])
        assert other["score"] == 6
        (kept,) = other["rounds"]
        assert (kept["rubric"], kept["missing"], kept["verdict_totals"]) == (strict, ["x = 3"], [6])
        assert kept["checks"] == one["rounds"][one["best_round"]]["checks"]


def test_traces_that_are_not_published_are_judged_too(run: Path) -> None:
    folder = RunFolder(run)
    build = load_config(folder.config_file, ["publish.min_score=10"])
    for shard in range(4):
        run_stages(["records"], shard, folder, build, None)
    published = rows(run, "records")
    with judge_with(MOST) as stub:
        done = rechecked(run, stub)
    assert len(published) < done["judged"]["done"] == done["traces"]["both"] == 8
    assert done["left_out"] == {"a": {"low_score": 8 - len(published)}, "b": {}}


def test_the_run_itself_stays_as_it_is(run: Path) -> None:
    before = digests(run)
    with judge_with(MOST) as stub:
        rechecked(run, stub)
    after = digests(run)
    assert {name for name in after if after[name] != before.get(name)} == {
        name for name in after if name.startswith("rechecks/")
    } | {"lock"}


def test_only_the_judge_is_asked_and_once_per_memento(run: Path) -> None:
    with judge_with(MOST) as stub:
        done = rechecked(run, stub)
    mementos = mementos_of(rows(run, "records"))
    assert len(stub.requests) == len(mementos)
    assert list(done["usage"]) == ["judge"]
    assert done["usage"]["judge"]["requests"] == len(mementos)
    assert all("Judge it strictly" in seen.body["messages"][-1]["content"] for seen in stub.requests)


@pytest.mark.parametrize("context", ["trace", "mementos", "block"])
def test_the_judge_sees_what_it_saw_when_the_memento_was_written(run: Path, context: str) -> None:
    """The stub's replies come from the request, so that only the same request gives the same verdict."""
    build = BuildConfig.model_validate(json.loads((run / "config.json").read_text()))
    mementos = build.mementos.model_copy(update={"context": context})
    build = build.model_copy(update={"mementos": mementos})
    folder = RunFolder(run)
    with StubLlm() as stub:
        for shard in range(4):
            for stages in JOURNEYS[-2:]:
                run_stages([stage.name for stage in stages], shard, folder, build, served(stub))
        done = rechecked(run, stub, "--set", f"mementos.context={context}")
    assert done["domains"]["all"]["same_blocks"] == len(mementos_of(rows(run, "records")))
    assert done["domains"]["all"]["correlation"] == pytest.approx(1)
    assert done["mementos"] == [], "no pair differs"


def test_a_second_recheck_asks_nothing_and_changes_nothing(run: Path) -> None:
    with judge_with(MOST) as stub:
        first = rechecked(run, stub)
        asked, before = len(stub.requests), digests(Path(first["b"]))
        assert rechecked(run, stub) == first
        assert len(stub.requests) == asked
    assert digests(Path(first["b"])) == before


def test_a_lost_shard_is_written_again_from_the_replies(run: Path) -> None:
    with judge_with(MOST) as stub:
        folder = Path(rechecked(run, stub)["b"])
        asked, before = len(stub.requests), digests(folder, "recheck/*.parquet")
        (folder / "recheck" / "shard-00001.json").unlink()
        rechecked(run, stub)
        assert len(stub.requests) == asked
    assert digests(folder, "recheck/*.parquet") == before


def test_a_higher_limit_asks_about_new_traces_only(run: Path) -> None:
    with judge_with(MOST) as stub:
        few = rechecked(run, stub, "--limit", 2)
        asked = len(stub.requests)
        chosen = rows(Path(few["b"]), "recheck")
        more = rechecked(run, stub, "--limit", 6)
    assert few["judged"]["traces"] == len(chosen) == 2
    assert few["traces"]["both"] == 2
    assert more["judged"]["traces"] == 6
    assert more["b"] == few["b"]
    both = rows(Path(more["b"]), "recheck")
    assert {row["trace_id"] for row in chosen} < {row["trace_id"] for row in both}
    assert asked == len(mementos_of(chosen))
    assert len(stub.requests) == len(mementos_of(both))


def test_a_lower_limit_compares_the_fewer_traces_and_forgets_no_reply(run: Path) -> None:
    with judge_with(MOST) as stub:
        rechecked(run, stub)
        asked = len(stub.requests)
        assert rechecked(run, stub, "--limit", 1)["traces"] == {"both": 1, "only_a": 7, "only_b": 0}
        assert rechecked(run, stub)["traces"]["both"] == 8
        assert len(stub.requests) == asked


def test_more_judges_pay_only_for_the_verdicts_that_are_new(run: Path) -> None:
    with StubLlm() as stub:
        one = rechecked(run, stub)
        asked = len(stub.requests)
        three = rechecked(run, stub, "--set", "mementos.judges.number=3")
        assert len(stub.requests) == 3 * asked
    assert three["b"] != one["b"]
    totals = [
        memento["rounds"][0]["verdict_totals"] for memento in mementos_of(rows(Path(three["b"]), "recheck"))
    ]
    assert {len(verdicts) for verdicts in totals} == {3}
    assert [verdicts[0] for verdicts in totals] == [
        memento["score"] for memento in mementos_of(rows(Path(one["b"]), "recheck"))
    ]


def test_two_models_are_judged_into_two_folders_that_can_be_compared(run: Path) -> None:
    with judge_with(MOST) as kind, judge_with({**MOST, "values": 0, "validation": 0}) as strict:
        strict.model = "Org/Strict-7B"
        one = rechecked(run, kind)
        other = rechecked(run, strict, "--model", "Org/Strict-7B")
    assert re.fullmatch(r"strict-7b-[0-9a-f]{8}", Path(other["b"]).name)
    command = ["compare", one["b"], other["b"], "--json", "--threshold", "8"]
    compared = json.loads(CliRunner().invoke(app, command).stdout)
    figures = compared["domains"]["all"]["figures"]
    assert figures["score_mean"] == {"a": 10, "b": 7, "difference": -3}
    assert figures["points_values"] == {"a": 2, "b": 0, "difference": -2}
    assert compared["domains"]["all"]["same_verdict"] == 0


def test_what_is_compared_is_what_both_judges_gave(run: Path) -> None:
    with judge_with({**MOST, "methods": 0}, "the method") as stub:
        done = rechecked(run, stub, "--top", 3)
    before = mementos_of(rows(run, "records"))
    figures = done["domains"]["all"]["figures"]
    assert figures["score_mean"]["a"] == pytest.approx(sum(m["score"] for m in before) / len(before))
    assert (figures["score_mean"]["b"], figures["points_methods"]["b"]) == (8, 0)
    passed = [memento["score"] >= 8 for memento in before]
    assert figures["passed_any"] == {
        "a": pytest.approx(sum(passed) / len(passed)),
        "b": 1,
        "difference": pytest.approx(1 - sum(passed) / len(passed)),
    }
    assert done["domains"]["all"]["same_verdict"] == pytest.approx(sum(passed) / len(passed))
    assert figures["passed_first"]["b"] is figures["rounds_mean"]["b"] is None, "only kept rounds are judged"
    apart = [abs(pair["scores"][0] - pair["scores"][1]) for pair in done["mementos"]]
    assert apart == sorted(apart, reverse=True)
    assert max(apart) == max(abs(memento["score"] - 8) for memento in before)
    assert done["mementos"][0]["missing"][1] == ["the method"]
    assert json.loads((Path(done["b"]) / "recheck.json").read_text()) == done


def test_people_read_who_judged_what_and_where_it_lies(run: Path) -> None:
    with judge_with(MOST) as stub:
        shown = told(run, "--endpoint", stub.endpoint, "--set", "mementos.judges.number=2").stdout
    assert "B: judged again by stub, 2 verdicts each (mean), system@" in shown
    assert "judged: 8 of 8 traces" in shown
    assert "both pass or neither for" in shown
    assert "  formulas of 3" in shown
    assert f"folder: {run / 'rechecks'}" in shown


def test_failed_traces_are_told_kept_out_and_tried_again(run: Path) -> None:
    settings = ("--set", "llm.max_attempts=1")
    with StubLlm(faults=["bad_json"]) as stub:
        done = rechecked(run, stub, *settings, code=3)
    assert (done["judged"]["done"], done["judged"]["failed"]) == (7, 1)
    (failed,) = rows(Path(done["b"]), "failed")
    assert "not a Verdict" in failed["error"]
    with StubLlm() as stub:
        again = rechecked(run, stub, *settings)
        assert 0 < len(stub.requests) <= len(mementos_of(rows(run, "records")))
    assert again["judged"] == {"traces": 8, "done": 8, "rejected": {}, "failed": 0}


def test_a_killed_recheck_goes_on_to_the_same_bytes(run: Path, finished: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(finished, tmp_path / "whole"))
    with StubLlm() as stub:
        uninterrupted = Path(rechecked(whole, stub)["b"])
        asked = len(stub.requests)
    with StubLlm(latency_seconds=0.3) as stub:
        command = [sys.executable, "-m", "pipeline", "recheck", str(run), "--endpoint", stub.endpoint]
        command += ["--set", "llm.max_in_flight=1"]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        replies = run / "rechecks" / "replies"
        wait_until(lambda: any(path.stat().st_size for path in replies.glob("*.jsonl")), process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        answered = sum(len(path.read_bytes().splitlines()) for path in replies.glob("*.jsonl"))
    with StubLlm() as stub:
        folder = Path(rechecked(run, stub)["b"])
        assert 0 < len(stub.requests) <= asked - answered < asked
    assert digests(folder, "recheck/*.parquet") == digests(uninterrupted, "recheck/*.parquet")


@pytest.mark.parametrize(
    "stop",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.exhaustive)],
    ids=lambda stop: stop.name,
)
def test_an_interrupted_recheck_ends_at_once_and_says_how_to_go_on(run: Path, stop: signal.Signals) -> None:
    with StubLlm(latency_seconds=600) as stub:
        command = [sys.executable, "-m", "pipeline", "recheck", str(run), "--endpoint", stub.endpoint]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: bool(stub.requests), process)
        process.send_signal(stop)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command to go on" in said
    assert "Traceback" not in said


def test_a_run_that_somebody_works_on_is_refused(run: Path) -> None:
    with RunFolder(run).lock():
        assert "another run (process" in told(run, code=1).stderr


def test_a_judge_that_is_not_served_is_refused_with_the_remedy(run: Path) -> None:
    with StubLlm() as stub:
        said = told(run, "--endpoint", stub.endpoint, "--model", "big", code=1).stderr
    assert "serves ['stub'], not 'big'" in said
    assert "set llm.model" in said


def test_where_no_trace_could_be_judged_nothing_is_compared(run: Path) -> None:
    with StubLlm(rates={"bad_json": 1.0}) as stub:
        ended = told(run, "--endpoint", stub.endpoint, "--json", "--set", "llm.max_attempts=1", code=3)
    done = json.loads(ended.stdout)
    assert done["judged"]["failed"] == 8
    assert "8 traces failed, most often: not a " in ended.stderr.splitlines()[-1]
    assert done["traces"]["both"] == 0


def test_a_run_without_a_finished_trace_is_told(tmp_path: Path) -> None:
    (tmp_path / "ingest").mkdir()
    write_json(BuildConfig(name="x").model_dump(mode="json"), tmp_path / "config.json")
    assert "no trace is finished there" in told(tmp_path, code=1).stderr


def test_a_run_of_an_older_version_needs_its_config_named(run: Path) -> None:
    (run / "config.json").rename(run.parent / "mine.json")
    assert "name the YAML file it was built with: --config" in told(run, code=1).stderr
    with judge_with(MOST) as stub:
        assert rechecked(run, stub, "--config", run.parent / "mine.json")["judged"]["done"] == 8
