"""`openmementos evaluate` as a user runs it, on a model that takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.procedural.register_machine import WORDS
from pipeline.sft.config import ModelConfig
from pipeline.sft.model import load, word_tokenizer
from tests.flows.conftest import ROOT
from tests.servers.stub_llm import StubLlm

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    word_tokenizer(WORDS).save_pretrained(folder)
    scratch = {"layers": 1, "width": 16, "heads": 2, "kv_heads": 1}
    load(ModelConfig.model_validate({"scratch": scratch}), seed=0).save_pretrained(folder)
    return folder


@pytest.fixture
def evaluate(prefect_server, tmp_path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline", "evaluate", *arguments, "-r", str(tmp_path / "run")]
        return subprocess.run(
            command, env=prefect_server.environment, cwd=ROOT, capture_output=True, text=True, timeout=240
        )

    return run


def test_a_table_figures_and_numbers_come_out_and_the_next_time_at_once(evaluate, model, tmp_path) -> None:
    told = (f"tiny={model}", "-t", "register-machine:2x2", "-n", "4", "--new-tokens", "20")
    done = evaluate(*told)
    assert done.returncode == 0, done.stderr
    assert "tiny, register-machine:2x2, memento: 4 of 4 responses" in done.stderr
    assert "tiny" in done.stdout
    again = evaluate(*told, "--json")
    assert again.returncode == 0, again.stderr
    assert "memento: 4 of 4 responses were there" in again.stderr
    report = json.loads(again.stdout)
    assert [each["mode"] for each in report["results"]] == ["vanilla", "memento", "restart"]
    figures = [f"figures/{name}" for name in report["figures"]]
    assert figures
    for name in ("results.md", "results.json", "generations.parquet", *figures):
        assert (tmp_path / "run" / name).is_file()
    claims = "claims=[{model: tiny, mode: memento, at_most: 0.5}, {model: tiny, mode: vanilla, at_least: 1}]"
    untrue = evaluate(*told, "--set", claims)
    assert untrue.returncode == 4, untrue.stderr
    assert "1 of 2 claims do not hold" in untrue.stderr
    text = (tmp_path / "run" / "results.md").read_text()
    assert "- holds: tiny, memento: 0 of 4 right (0.0%), claimed at most 50%" in text
    assert "- DOES NOT HOLD: tiny, vanilla: 0 of 4 right (0.0%), claimed at least 100%" in text


def test_responses_of_an_unknown_end_end_with_3(evaluate) -> None:
    def edit(completion) -> None:
        completion["choices"][0]["finish_reason"] = "sealed"

    with StubLlm(edit=edit) as stub:
        done = evaluate(f"m={stub.endpoint}", "-t", "register-machine:2x2", "-n", "3")
    assert done.returncode == 3, done.stderr
    assert "m: nearly all responses ended with a finish_reason that is not known (3 `sealed`)" in " ".join(
        done.stderr.split()
    )


def test_what_is_missing_ends_with_3_and_judging_needs_no_model(evaluate) -> None:
    with StubLlm(faults=["unprocessable"]) as stub:
        told = (f"m={stub.endpoint}", "-t", "register-machine:2x2", "-n", "3", "--json")
        first = evaluate(*told)
    assert first.returncode == 3, first.stderr
    last = first.stderr.strip().splitlines()[-1]
    assert "some responses are missing or could not be judged, most often: refused by" in last
    assert "422" in last
    again = evaluate(*told, "--judge-only")
    assert again.returncode == 3, again.stderr
    assert "2 of 3 responses, 2 judged" in again.stderr
    for done, why in ((first, "422"), (again, "never asked")):
        report = json.loads(done.stdout)
        (missing,) = report["missing"]["m"].values()
        assert list(missing.values()) == [1]
        assert why in next(iter(missing))
        assert report["results"][0]["responses"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (),
            "options: nothing to evaluate: name --tasks, or a data set with --dataset or --probe",
        ),
        (("x", "-t", "aime99"), "tasks aime99: not known; there are aime24, "),
        (("/no/such/model", "-t", "register-machine:2x2"), "models /no/such/model: no such folder"),
        (
            ("x", "-t", "register-machine:2x2", "--samples", "2", "--temperature", "0"),
            "samples are all the same at temperature 0",
        ),
        (
            ("x", "-t", "register-machine:2x2", "--modes", "memory"),
            "modes.0: Input should be 'vanilla', 'memento'",
        ),
    ],
)
def test_what_is_wrong_is_one_line(evaluate, arguments: tuple[str, ...], message: str) -> None:
    done = evaluate(*arguments)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
