"""A model that is here: as its makers recommend, and each prompt with a room of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.evaluate.config import SamplingConfig
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.local_model import LocalModel
from pipeline.evaluate.modes import Mode
from pipeline.procedural.register_machine import WORDS
from pipeline.sft.config import ModelConfig
from pipeline.sft.model import load, word_tokenizer

CONTEXT = 4_096


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model from nothing, as `sft` saves it."""
    made = tmp_path_factory.mktemp("model")
    scratch = {"layers": 1, "width": 16, "heads": 2, "kv_heads": 1}
    load(ModelConfig.model_validate({"scratch": scratch}), seed=0).save_pretrained(made)
    word_tokenizer(WORDS).save_pretrained(made)
    return made


def recommending(folder: Path, told: list[str] | None = None, **recommended: Any) -> LocalModel:
    """The model with this generation config."""
    file = folder / "generation_config.json"
    before = file.read_text()
    file.write_text(json.dumps(json.loads(before) | recommended))
    try:
        return LocalModel(str(folder), [].append if told is None else told.append)
    finally:
        file.write_text(before)


def used(model: LocalModel, **told: Any) -> tuple[float | None, ...]:
    found = model.resolved(SamplingConfig(**told))
    assert model.resolved(found) == found
    return found.temperature, found.top_p, found.top_k, found.min_p


def test_a_model_from_nothing_recommends_nothing_and_is_drawn_from_as_it_is(folder: Path) -> None:
    assert used(LocalModel(str(folder), print)) == (1.0, 1.0, 0, 0.0)


@pytest.mark.parametrize(
    ("recommended", "told", "expected"),
    [
        (
            {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.1},
            {},
            (0.6, 0.95, 20, 0.1),
        ),
        ({"do_sample": True}, {}, (1.0, 1.0, 0, 0.0)),
        # As vLLM, and unlike Transformers, which would take the likeliest.
        ({"temperature": 0.6}, {}, (0.6, 1.0, 0, 0.0)),
        ({"do_sample": False}, {}, (0.0, 1.0, 0, 0.0)),
        ({"do_sample": False}, {"temperature": 0.7}, (0.7, 1.0, 0, 0.0)),
        ({"temperature": 0.6, "top_k": 20}, {"temperature": 0}, (0.0, 1.0, 20, 0.0)),
        (
            {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.1},
            {"top_k": 0, "top_p": 1.0, "min_p": 0.0},
            (0.6, 1.0, 0, 0.0),
        ),
        ({"top_k": -1}, {}, (1.0, 1.0, 0, 0.0)),
    ],
    ids=str,
)
def test_what_is_not_told_of_sampling_is_as_the_makers_recommend(
    folder: Path, recommended: dict[str, Any], told: dict[str, Any], expected: tuple[float, ...]
) -> None:
    assert used(recommending(folder, **recommended), **told) == expected


def test_nothing_else_of_a_sampling_is_changed(folder: Path) -> None:
    told = SamplingConfig(samples=3, new_tokens=7, block_limit=5, seed=9)
    found = LocalModel(str(folder), print).resolved(told)
    assert found == told.model_copy(update={"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0})


def test_samples_of_a_model_that_is_recommended_to_be_greedy_are_refused(folder: Path) -> None:
    model = recommending(folder, do_sample=False)
    with pytest.raises(EvaluateError, match="give a --temperature above 0, or ask for one sample"):
        model.resolved(SamplingConfig(samples=2))
    assert used(model, samples=2, temperature=0.5)[0] == 0.5


def test_a_recommendation_that_cannot_be_followed_is_told(folder: Path) -> None:
    lines: list[str] = []
    recommending(folder, lines, repetition_penalty=1.05)
    assert any("repetition_penalty of 1.05" in line for line in lines)
    with pytest.raises(EvaluateError, match="recommends what cannot be sampled"):
        used(recommending(folder, top_p=1.5))


def test_it_is_written_as_recommended(folder: Path) -> None:
    def written(model: LocalModel, seed: int, **told: Any) -> list[int]:
        (found,) = model.write(["1 2 "], [seed], Mode.VANILLA, SamplingConfig(new_tokens=20, **told))
        return found.response.ids

    model, greedy = LocalModel(str(folder), print), recommending(folder, do_sample=False)
    assert written(model, 1) == written(model, 1, temperature=1.0) != written(model, 2)
    assert written(model, 1, temperature=0) == written(greedy, 2) == written(greedy, 3)
    assert written(recommending(folder, top_k=1), 1) == written(greedy, 1)
    assert written(recommending(folder, min_p=1.0), 1) == written(greedy, 1)


def test_a_prompt_that_does_not_fit_is_its_own_fault_and_room_is_that_beside_each_prompt(
    folder: Path,
) -> None:
    model = LocalModel(str(folder), print)
    around = len(model.tokenizing.prompt_ids(""))
    sizes = (CONTEXT + 900, CONTEXT, CONTEXT - 1, CONTEXT - 5, 10)
    prompts = ["1 " * (size - around) for size in sizes]
    sampling = SamplingConfig(temperature=0, new_tokens=9)
    # A model of so few weights does not end by itself.
    found = model.write(prompts, range(5), Mode.MEMENTO, sampling)
    assert [len(each.response.ids) for each in found] == [0, 0, 1, 5, 9]
    assert [each.prompt_tokens for each in found] == list(sizes)
    assert [each.fault for each in found] == [
        "prompt of 4,996 tokens leaves no room in the model's 4,096",
        "prompt of 4,096 tokens leaves no room in the model's 4,096",
        "",
        "",
        "",
    ]
    (alone,) = model.write(prompts[4:], [4], Mode.MEMENTO, sampling)
    assert alone == found[4]
