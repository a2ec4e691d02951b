"""A model's speed and room on named hardware, scaled from the one measurement."""

import json

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.plan.hardware import (
    HARDWARE,
    MEASURED_GENERATION_SPEED,
    MEASURED_PROMPT_SPEED,
    ModelSize,
    fit,
    size_of,
)
from tests.flows.conftest import ROOT

SAMPLE = ROOT / "data" / "sample" / "traces.jsonl"


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Qwen/Qwen3-8B", ModelSize(8, 8, 2)),
        ("Qwen/Qwen3-32B-FP8", ModelSize(32, 32, 1)),
        ("Qwen/Qwen3-30B-A3B", ModelSize(30, 3, 2)),
        ("org/Model-1.5b-AWQ", ModelSize(1.5, 1.5, 0.5)),
        ("deepseek-ai/DeepSeek-R1", None),
        ("org/v2B2C", None),
    ],
)
def test_a_models_size_is_read_from_its_name_or_not_known(name: str, size: ModelSize | None) -> None:
    assert size_of(name) == size


def test_a_size_that_is_given_goes_before_the_name() -> None:
    assert size_of("my/model", 7) == ModelSize(7, 7, 2)


def test_what_was_measured_is_what_is_told_for_it() -> None:
    found = fit(ModelSize(8, 8, 2), HARDWARE["h200"], 1)
    assert (found.prompt_speed, found.generation_speed) == (MEASURED_PROMPT_SPEED, MEASURED_GENERATION_SPEED)


def test_a_larger_model_is_slower_and_bandwidth_counts_for_what_is_generated() -> None:
    small, large = (fit(ModelSize(n, n, 2), HARDWARE["h100"], 1) for n in (8, 32))
    assert large.prompt_speed == pytest.approx(small.prompt_speed / 4)
    assert large.generation_speed == pytest.approx(small.generation_speed / 4)
    half = fit(ModelSize(32, 32, 1), HARDWARE["h100"], 1)
    assert half.generation_speed == pytest.approx(2 * large.generation_speed)
    assert half.prompt_speed == pytest.approx(large.prompt_speed)


def test_weights_that_do_not_fit_leave_no_cache() -> None:
    assert (
        fit(ModelSize(70, 70, 2), HARDWARE["h100"], 1).cache
        < 0
        < fit(ModelSize(70, 70, 2), HARDWARE["h100"], 4).cache
    )


def planned(tmp_path, *options: str, code: int = 0) -> str:
    command = ["plan", "--config", str(ROOT / "flows/configs/teacher.yaml"), "--source", str(SAMPLE)]
    command += ["--limit", "3", "--run-dir", str(tmp_path / "run"), *options]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.output if code else result.stdout


def test_a_plan_tells_hours_and_room_on_named_hardware(tmp_path) -> None:
    told = json.loads(planned(tmp_path, "--hardware", "h100", "--gpus", "2", "--json"))["figures"]
    assert told["weights_gb"]["value"] == 64
    assert told["kv_cache_gb"]["value"] == pytest.approx(2 * (80 * 0.92 - 3) - 64)
    assert told["hours"]["value"] > 0
    assert "scaled from an 8B model on one H200" in planned(tmp_path, "--hardware", "h100", "--gpus", "2")


def test_a_model_that_does_not_fit_has_no_hours_and_a_remedy(tmp_path) -> None:
    said = planned(tmp_path, "--hardware", "rtx4090")
    assert "does not fit: more --gpus" in said
    told = json.loads(planned(tmp_path, "--hardware", "rtx4090", "--json"))["figures"]
    assert told["hours"]["value"] is None


def test_unknown_hardware_and_models_of_unknown_size_are_refused(tmp_path) -> None:
    assert "known are h200" in planned(tmp_path, "--hardware", "tpu", code=2)
    refused = planned(tmp_path, "--hardware", "h100", "--model", "org/model", code=2)
    assert "--parameters" in refused
    both = ("--hardware", "h100", "--prompt-speed", "1", "--generation-speed", "1")
    assert "give one of them" in planned(tmp_path, *both, code=2)


def test_a_plan_says_where_prompts_that_are_only_read_are_unwise(tmp_path) -> None:
    assert "unwise: score.form prefill" in planned(tmp_path, "--set", "score.form=prefill")
    assert "unwise" not in planned(tmp_path)
    assert "unwise" not in planned(tmp_path, "--set", "score.form=prefill", "--model", "bundled")
