"""Models here as Inspect AI asks them; where Inspect is installed, which is an environment of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.procedural.register_machine import WORDS
from pipeline.sft.config import ModelConfig
from pipeline.sft.model import load, word_tokenizer

inspect_ai = pytest.importorskip("inspect_ai")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose makers recommend the likeliest tokens."""
    made = tmp_path_factory.mktemp("model")
    scratch = {"layers": 1, "width": 16, "heads": 2, "kv_heads": 1}
    load(ModelConfig.model_validate({"scratch": scratch}), seed=0).save_pretrained(made)
    word_tokenizer(WORDS).save_pretrained(made)
    file = made / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"do_sample": False, "top_k": 20}))
    return made


def asked(folder: Path, logs: Path, problem: str = "1 2 ", **how: Any) -> Any:
    from inspect_ai.dataset import Sample

    (log,) = inspect_ai.eval(
        inspect_ai.Task(dataset=[Sample(problem)]),
        model=f"openmementos/{folder}",
        max_tokens=9,
        display="none",
        log_dir=str(logs),
        **how,
    )
    return log


def test_without_a_temperature_it_is_asked_as_recommended(folder: Path, tmp_path: Path) -> None:
    log = asked(folder, tmp_path)
    assert log.status == "success"
    assert log.samples[0].output.metadata["sampling"] == {
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 20,
        "min_p": 0.0,
    }


def test_epochs_at_temperature_0_are_refused(folder: Path, tmp_path: Path) -> None:
    log = asked(folder, tmp_path, epochs=2)
    assert log.status == "error"
    assert "give a --temperature above 0, or --epochs 1" in log.error.message
    drawn = asked(folder, tmp_path, epochs=2, temperature=1.0, top_k=0)
    assert drawn.status == "success"
    first, second = (sample.output.metadata["response"] for sample in drawn.samples)
    assert first != second


def test_a_prompt_that_does_not_fit_ends_nothing(folder: Path, tmp_path: Path) -> None:
    log = asked(folder, tmp_path, "1 " * 5_000)
    assert log.status == "success"
    output = log.samples[0].output
    assert output.stop_reason == "model_length"
    assert "leaves no room" in output.error
