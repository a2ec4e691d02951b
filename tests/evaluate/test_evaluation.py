"""An evaluation of a small model: what it leaves, with nothing written twice, and nothing lost by a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer

from pipeline.attention.kv_curve import held_tokens
from pipeline.attention.trained_for import TrainedFor, write_trained_for
from pipeline.attention.visibility import AS_IN_THE_PAPER, FORGET_NOTHING, Forgetting, visible_until
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.evaluation import evaluate, label_of, refuse_other_folder
from pipeline.evaluate.local_model import LocalModel
from pipeline.evaluate.modes import Mode
from pipeline.files.sealed_json import write_sealed
from pipeline.procedural.register_machine import WORDS
from pipeline.run.store import RunFolder
from pipeline.sft.config import ModelConfig
from pipeline.sft.examples import Tokenizing
from pipeline.sft.model import load, word_tokenizer
from pipeline.sft.tokens import block_tokens

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TASK = "register-machine:2x2"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that write little but the tokens of the format."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = word_tokenizer(WORDS)
    scratch = {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1}
    made = load(ModelConfig.model_validate({"scratch": scratch}), seed=4)
    favoured = [*block_tokens(tokenizer), tokenizer.convert_tokens_to_ids("<|assistant|>")]
    with torch.no_grad():
        # Rows with a direction in common follow one another.
        made.get_input_embeddings().weight[favoured] += 0.4
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def config(model: Path, **changes) -> EvaluateConfig:  # type: ignore[no-untyped-def]
    told = {
        "models": [f"tiny={model}"],
        "tasks": [TASK],
        "limit": 6,
        "sampling": {"temperature": 1.0, "samples": 2, "new_tokens": 60},
        "batch": 4,
    }
    return EvaluateConfig.model_validate(told | changes)


def rows_of(run: Path) -> list[dict]:  # type: ignore[type-arg]
    rows = pq.read_table(run / "generations.parquet").to_pylist()
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_what_was_held_is_what_the_text_says_in_every_mode(model: Path, tmp_path: Path) -> None:
    report = evaluate(config(model), tmp_path, lambda line: None)
    rows = rows_of(tmp_path)
    assert len(rows) == 6 * 2 * 3
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokens = block_tokens(tokenizer)
    tokenizing = Tokenizing(tokenizer, tokens, 0)
    dropped = 0
    for row in rows:
        written = tokenizer.encode(row["response"], add_special_tokens=False)
        ids = [*tokenizing.prompt_ids(row["prompt"]), *written]
        visible = visible_until(ids, tokens, Mode(row["mode"]).forgetting, prompt=row["prompt_tokens"])
        curve = held_tokens(visible).tolist()
        assert row["held"] == curve[row["prompt_tokens"] :][: len(row["held"])]
        assert row["peak_tokens"] == max(row["held"])
        assert row["area_tokens"] == sum(row["held"])
        dropped += row["held"] != sorted(row["held"])
    assert dropped > 5, "blocks were finished"
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(report))
    text = (tmp_path / "results.md").read_text()
    assert all(f"| tiny | {mode} |" in text for mode in ("vanilla", "memento", "restart"))
    for name in report["figures"]:
        assert (tmp_path / "figures" / name).read_text().startswith("<?xml")


def test_a_model_forgets_what_its_config_says_it_was_trained_to(model: Path, tmp_path: Path) -> None:
    trained = tmp_path / "trained"
    shutil.copytree(model, trained)
    config_file = trained / "config.json"
    told = json.loads(config_file.read_text())
    tokens = block_tokens(AutoTokenizer.from_pretrained(trained))
    record = TrainedFor(True, Forgetting(1, False), 100, tokens, "data", "1", "2", "3")
    made = SimpleNamespace()
    write_trained_for(made, record)
    config_file.write_text(json.dumps(told | {"memento": made.memento}))
    lines: list[str] = []
    writer = LocalModel(str(trained), lines.append)
    assert not lines
    assert writer.forgetting(Mode.VANILLA) == FORGET_NOTHING
    assert writer.forgetting(Mode.MEMENTO) == writer.forgetting(Mode.RESTART) == Forgetting(1, False)
    evaluate(config(trained, modes=["memento"], limit=3), tmp_path / "run", lines.append)
    differs = 0
    for row in rows_of(tmp_path / "run"):
        written = writer.tokenizing.tokenizer.encode(row["response"], add_special_tokens=False)
        ids = [*writer.tokenizing.prompt_ids(row["prompt"]), *written]
        own, papers = (
            held_tokens(visible_until(ids, tokens, forgetting)).tolist()[row["prompt_tokens"] :]
            for forgetting in (record.forgetting, AS_IN_THE_PAPER)
        )
        assert row["held"] == own[: len(row["held"])]
        differs += row["held"] != papers[: len(row["held"])]
    assert differs
    told["memento"] = made.memento | {"forgets": False}
    config_file.write_text(json.dumps(told))
    assert LocalModel(str(trained), lines.append).forgetting(Mode.MEMENTO) == Forgetting(1, False)
    assert "was trained with full attention" in lines[-1]
    told["memento"] = {"forgets": True}
    config_file.write_text(json.dumps(told))
    with pytest.raises(
        EvaluateError, match=r"trained: cannot be used \(config\.json: memento\.tokens is None"
    ):
        LocalModel(str(trained), lines.append)


def test_a_model_that_does_not_say_what_it_forgets_is_asked_as_the_paper_does(model: Path) -> None:
    lines: list[str] = []
    assert LocalModel(str(model), lines.append).forgetting(Mode.MEMENTO) == AS_IN_THE_PAPER
    (line,) = lines
    assert "does not say what it forgets: blocks are dropped as in the paper" in line


def test_nothing_is_written_twice_and_more_is_added(model: Path, tmp_path: Path) -> None:
    evaluate(config(model, limit=3, modes=["memento"]), tmp_path, lambda line: None)
    before = rows_of(tmp_path)
    lines: list[str] = []
    evaluate(config(model), tmp_path, lines.append)
    assert "tiny, register-machine:2x2, memento: 6 of 12 responses were there" in lines
    after = rows_of(tmp_path)
    assert [row for row in after if row in before] == before
    again: list[str] = []
    evaluate(config(model), tmp_path, again.append)
    assert rows_of(tmp_path) == after
    assert not [line for line in again if "tokens/s" in line]


PROGRAM = """
import sys
from pathlib import Path
from tests.evaluate.test_evaluation import config
from pipeline.evaluate.evaluation import evaluate
evaluate(config(Path(sys.argv[1]), batch=1), Path(sys.argv[2]), lambda line: None)
"""


def test_a_killed_evaluation_goes_on_to_the_same_file(model: Path, tmp_path: Path) -> None:
    evaluate(config(model, batch=1), tmp_path / "whole", lambda line: None)
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(model), str(killed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 120
    while sum(len(path.read_text().splitlines()) for path in killed.glob("generations/*.jsonl")) < 5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "generations.parquet").exists()
    evaluate(config(model, batch=1), killed, lambda line: None)
    assert rows_of(killed) == rows_of(tmp_path / "whole")


def test_batches_do_not_change_what_is_written(model: Path, tmp_path: Path) -> None:
    evaluate(config(model), tmp_path / "four", lambda line: None)
    evaluate(config(model, batch=1), tmp_path / "one", lambda line: None)
    assert rows_of(tmp_path / "four") == rows_of(tmp_path / "one")


def test_a_model_that_cannot_be_asked_is_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match="models /nowhere: no such folder"):
        evaluate(config(Path("/nowhere")), tmp_path, lambda line: None)
    plain = tmp_path / "plain"
    tokenizer = word_tokenizer(WORDS)
    load(ModelConfig.model_validate({"scratch": {}}), seed=0).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    text = (plain / "tokenizer.json").read_text().replace("<|block_start|>", "<|other|>")
    (plain / "tokenizer.json").write_text(text)
    settings = (plain / "tokenizer_config.json").read_text().replace("<|block_start|>", "<|other|>")
    (plain / "tokenizer_config.json").write_text(settings)
    # A template that opens the thinking: a model of others is asked so, and the response begins there.
    template = (plain / "chat_template.jinja").read_text().replace("<|assistant|>", "<|assistant|><think>")
    (plain / "chat_template.jinja").write_text(template)
    lines: list[str] = []
    evaluate(config(plain, limit=1), tmp_path / "found", lines.append)
    asked = AutoTokenizer.from_pretrained(plain)
    for row in rows_of(tmp_path / "found"):
        messages = [{"role": "user", "content": row["prompt"]}]
        theirs = asked.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert row["prompt_tokens"] == len(asked.encode(theirs, add_special_tokens=False))
        assert row["response"].startswith("<think>")
    assert {row["mode"] for row in rows_of(tmp_path / "found")} == {"vanilla"}
    assert any("tokenizer has no <|block_start|>" in line for line in lines)
    with pytest.raises(EvaluateError, match=r"has no <\|block_start\|>.*; name another with --modes"):
        evaluate(config(plain, modes=["restart"]), tmp_path / "none", lambda line: None)
    with pytest.raises(EvaluateError, match="tiny would stand for several"):
        evaluate(
            config(plain, models=[f"tiny={plain}", f"tiny={model}"]), tmp_path / "two", lambda line: None
        )


def test_a_mode_that_is_named_twice_is_refused(model: Path) -> None:
    with pytest.raises(ValueError, match="modes: one is named twice in vanilla, vanilla"):
        config(model, modes=["vanilla", "vanilla"])


def test_a_corrected_answer_asks_nothing_anew_and_more_samples_leave_the_others(
    model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"problem": "1 1", "answer": "2"}\n{"problem": "1 2", "answer": "4"}\n')
    told = {"tasks": [str(file)], "modes": ["vanilla"], "limit": None}
    evaluate(config(model, **told), tmp_path / "run", lambda line: None)
    file.write_text(file.read_text().replace('"4"', '"3"'))
    lines: list[str] = []
    sampling = {"temperature": 1.0, "samples": 3, "new_tokens": 60}
    evaluate(config(model, **told, sampling=sampling), tmp_path / "run", lines.append)
    assert f"tiny, {file}, vanilla: 4 of 6 responses were there" in lines
    assert [row["expected"] for row in rows_of(tmp_path / "run")] == ["2"] * 3 + ["3"] * 3


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    refuse_other_folder(run)
    write_sealed({"name": "a build"}, run.config_file)
    with pytest.raises(EvaluateError, match="is the folder of a build or a training"):
        refuse_other_folder(run)


def test_a_folder_of_responses_that_were_kept_as_they_were_judged_is_refused(tmp_path: Path) -> None:
    older = tmp_path / "generations" / "0123456789abcdef" / "000000.parquet"
    older.parent.mkdir(parents=True)
    older.touch()
    with pytest.raises(EvaluateError, match=r"has responses of an earlier version.*; name another folder"):
        refuse_other_folder(RunFolder(tmp_path))


@pytest.mark.parametrize(
    ("told", "label", "path"),
    [
        ("stage 2=a/b/model", "stage 2", "a/b/model"),
        ("data/runs/x/memento/model", "memento/model", "data/runs/x/memento/model"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("http://h:8000/v1?a=b", "h:8000/v1?a=b", "http://h:8000/v1?a=b"),
        ("http://h:1/v1,http://i:1/v1#Q", "h:1/v1#Q", "http://h:1/v1,http://i:1/v1#Q"),
    ],
)
def test_a_label_is_told_or_the_end_of_the_place(told: str, label: str, path: str) -> None:
    assert label_of(told) == (label, path)
