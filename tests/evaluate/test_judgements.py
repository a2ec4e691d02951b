"""Responses are kept before they are judged: no judge loses one, and each is judged without a model."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.evaluate import judging
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.evaluation import evaluate
from pipeline.evaluate.generations import Kept, question_of
from pipeline.evaluate.judgements import Judgements, Judges, judges
from pipeline.evaluate.judging import NO_ANSWER, WRONG, Judgement
from pipeline.evaluate.problems import Problem
from tests.evaluate.deadly import Deadly
from tests.servers.stub_llm import StubLlm

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def says_42(body: dict[str, Any]) -> str:
    return "<think>Hm.</think>42"


@pytest.fixture
def stub() -> Iterator[StubLlm]:
    with StubLlm(answer=says_42) as server:
        yield server


def config(place: str, **changes: Any) -> EvaluateConfig:
    return EvaluateConfig.model_validate(
        {"models": [f"m={place}"], "tasks": ["register-machine:2x2"], "limit": 6, **changes}
    )


def rows_of(run: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(run / "generations.parquet").to_pylist()
    return rows


def replaced(monkeypatch: pytest.MonkeyPatch, judge: Callable[[Problem, str], Judgement]) -> None:
    monkeypatch.setattr(judging, "judgement", judge)


PROGRAM = """
import os, signal, sys
from pathlib import Path
from pipeline.evaluate import judging
from pipeline.evaluate.evaluation import evaluate
from tests.evaluate.test_judgements import config

def dies(problem, answer):
    os.kill(os.getpid(), signal.SIGKILL)

judging.judgement = dies
evaluate(config(sys.argv[1], llm={"max_in_flight": 1}), Path(sys.argv[2]), lambda line: None)
"""


def test_what_was_kept_when_the_judge_killed_everything_is_not_asked_again(
    stub: StubLlm, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, stub.endpoint, str(tmp_path)]
    killed = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    (file,) = tmp_path.glob("generations/*.jsonl")
    kept = len(file.read_text().splitlines())
    assert kept >= 1
    asked = len(stub.requests)
    lines: list[str] = []
    report = evaluate(config(stub.endpoint), tmp_path, lines.append)
    assert f"m, register-machine:2x2, vanilla: {kept} of 6 responses were there" in lines
    assert len(stub.requests) <= asked + 6 - kept, "what is kept is judged, and not asked again"
    assert [row["answer"] for row in rows_of(tmp_path)] == ["42"] * 6
    assert report["results"][0]["faults"] == {WRONG: 6}


def test_a_judge_that_raises_loses_nothing_is_told_and_is_tried_again(
    stub: StubLlm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(problem: Problem, answer: str) -> Judgement:
        if problem.id == "1":
            raise ValueError("no such thing\nas this")
        return Judgement(answer, "")

    replaced(monkeypatch, raises)
    report = evaluate(config(stub.endpoint), tmp_path, lambda line: None)
    fault = "judge failed: ValueError: no such thing"
    assert [row["fault"] for row in rows_of(tmp_path)] == ["", fault, "", "", "", ""]
    told = {"model": "m", "task": "register-machine:2x2", "mode": "vanilla", "faults": {fault: 1}}
    assert report["judge_failed"] == [told]
    assert f"- m, register-machine:2x2, vanilla: 1 `{fault}`" in (tmp_path / "results.md").read_text()
    judged: list[str] = []

    def works(problem: Problem, answer: str) -> Judgement:
        judged.append(problem.id)
        return Judgement(answer, "")

    replaced(monkeypatch, works)
    asked = len(stub.requests)
    report = evaluate(config(stub.endpoint), tmp_path, lambda line: None)
    assert len(stub.requests) == asked
    assert judged == ["1"], "the others are judged"
    assert (report["judge_failed"], report["results"][0]["accuracy"]) == ([], 1.0)


def test_a_better_judge_judges_what_is_there_and_asks_nothing(
    stub: StubLlm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(config(stub.endpoint), tmp_path, lambda line: None)
    asked = len(stub.requests)
    replaced(monkeypatch, lambda problem, answer: Judgement(answer, ""))
    assert evaluate(config(stub.endpoint), tmp_path, lambda line: None)["results"][0]["accuracy"] == 0
    monkeypatch.setattr(judging, "VERSION", judging.VERSION + 1)
    assert evaluate(config(stub.endpoint), tmp_path, lambda line: None)["results"][0]["accuracy"] == 1
    assert len(stub.requests) == asked


def test_judging_only_needs_no_model_and_judges_all_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StubLlm(answer=says_42) as stub:
        told = config(stub.endpoint, sampling={"temperature": 0.5, "samples": 2})
        evaluate(told, tmp_path, lambda line: None)
    before = rows_of(tmp_path)
    replaced(monkeypatch, lambda problem, answer: Judgement(answer, ""))
    lines: list[str] = []
    report = evaluate(told, tmp_path, lines.append, judge_only=True)
    assert report["results"][0]["accuracy"] == 1
    assert report["sampling"] == {"m": told.sampling.model_dump()}
    text = (tmp_path / "results.md").read_text()
    assert "- m: temperature 0.5, top_p the server's own, top_k the server's own" in text
    after = rows_of(tmp_path)
    judged = {"said": "42", "fault": ""}
    assert after == [row | judged for row in before]
    assert "m, register-machine:2x2, vanilla: 12 of 12 responses, 12 judged, 100% right" in lines
    more = config(stub.endpoint, sampling={"temperature": 0.5, "samples": 3})
    report = evaluate(more, tmp_path, lines.append, judge_only=True)
    assert report["missing"] == {"m": {"register-machine:2x2, vanilla": {"never asked": 6}}}
    assert "responses are missing (never asked)" in (tmp_path / "results.md").read_text()
    other = config(stub.endpoint, sampling={"temperature": 0.6, "samples": 2})
    with pytest.raises(EvaluateError, match=r"no responses of it are in .* with this sampling"):
        evaluate(other, tmp_path, lambda line: None, judge_only=True)


def test_a_judge_whose_process_dies_is_a_fault_of_its_answer_alone(tmp_path: Path) -> None:
    asked = [Problem(str(n), f"asked {n}", "", "code", details=Deadly()) for n in range(4)]
    pool = Judges(in_processes=True)
    with Judgements(tmp_path, "digest", pool, again=False) as found:
        for problem in asked:
            said = "```python\nprint()\n```" if problem.id == "1" else "I would not know."
            found.judge(kept(problem, said), problem)
        found.finish(lambda: None)
        faults = [found.found[question_of(problem), 0].fault for problem in asked]
    pool.close()
    assert faults == ["no program", "judge failed: its process died", "no program", "no program"]


def kept(problem: Problem, response: str) -> Kept:
    return Kept(
        problem=problem.id,
        question=question_of(problem),
        sample=0,
        seed=1,
        response=response,
        fault="",
        is_ended=True,
        prompt_tokens=1,
        tokens=1,
        peak_tokens=None,
        area_tokens=None,
        held=[],
        forced_ends=0,
        recomputed_tokens=0,
        seconds=0.0,
    )


def test_processes_judge_and_a_response_without_an_answer_needs_none(tmp_path: Path) -> None:
    asked = [Problem(str(n), f"asked {n}", "2", "math") for n in range(3)]
    responses = ["\\boxed{2}", "<think>not yet", "\\boxed{3}"]
    with judges({"math"}) as pool, Judgements(tmp_path, "digest", pool, again=False) as found:
        for problem, response in zip(asked, responses, strict=True):
            found.judge(kept(problem, response), problem)
        found.finish(lambda: None)
        faults = [found.found[question_of(problem), 0].fault for problem in asked]
    assert faults == ["", NO_ANSWER, WRONG]
