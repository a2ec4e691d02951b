from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from pydantic import ValidationError
from transformers import LlamaConfig

from pipeline.procedural.register_machine import WORDS
from pipeline.sft.collate import IGNORED
from pipeline.sft.examples import CUT, NO_MEMENTOS
from pipeline.sft.model import word_tokenizer
from pipeline.sft.prepare import prepared as preparing
from pipeline.sft.stage_plan import stages_of
from pipeline.sft.tokenized_rows import Examples, packed_examples, prepare
from tests.files.test_digests import flipped
from tests.sft.test_examples import row, tokenizing
from tests.sft.tiny import ready, tiny


def prepared(folder: Path, told: list[str], most: int = 60) -> Examples:
    problem, response = row(runs=4)
    rows = Dataset.from_dict(
        {"problem": [problem, "1 ", problem], "response": [response, "<think>1 </think>1 ", row(1)[1]]}
    )
    return prepare(rows, ("rows", "v1"), tokenizing(most), folder, told.append)


def test_rows_that_are_cut_or_left_out_are_counted_beside_the_others(tmp_path) -> None:
    examples = prepared(tmp_path, [])
    assert examples.counts == {CUT: 1, NO_MEMENTOS: 1}
    assert [len(each["ids"]) for each in examples.table] == examples.lengths
    assert len(examples.lengths) == 2
    assert max(examples.lengths) <= 60


def test_rows_longer_than_the_models_positions_are_cut_there_and_that_is_told(tmp_path) -> None:
    model = tmp_path / "model"
    word_tokenizer(WORDS).save_pretrained(model)
    LlamaConfig(max_position_embeddings=40).save_pretrained(model)
    config = tiny(model={"path": str(model)})
    told: list[str] = []
    examples = preparing(config, tmp_path / "run", told.append).learning.train
    assert max(ready(tiny(), tmp_path / "free").learning.train.lengths) > 40
    assert max(examples.lengths) <= 40
    assert examples.counts[CUT] > 0
    assert any("has 40 positions" in line and "not at data.max_tokens 80" in line for line in told)


def test_prepared_rows_that_are_damaged_are_set_aside_and_tokenized_again(tmp_path) -> None:
    told: list[str] = []
    before = prepared(tmp_path, told).table.to_list()
    for name in ("*.arrow", "counts.json"):
        (path,) = tmp_path.glob(f"{'[0-9a-f]' * 16}/**/{name}")
        flipped(path, path.stat().st_size // 2)
        told.clear()
        assert prepared(tmp_path, told).table.to_list() == before
        assert len(told) == 2
        assert told[0].startswith(f"{path}: damaged (")


def test_what_is_tokenized_is_not_tokenized_again_unless_something_has_changed(tmp_path) -> None:
    told: list[str] = []
    first, second = prepared(tmp_path, told), prepared(tmp_path, told)
    assert len(told) == 1
    assert first.digest == second.digest
    assert first.table.to_list() == second.table.to_list()
    assert prepared(tmp_path, told, most=50).digest != first.digest
    assert len(told) == 2


def test_what_a_kill_has_left_is_not_taken_for_whole(tmp_path) -> None:
    told: list[str] = []
    whole = prepared(tmp_path, told)
    (tmp_path / whole.digest / "counts.json").unlink()
    again = prepared(tmp_path, told)
    assert len(told) == 2
    assert again.table.to_list() == whole.table.to_list()


def test_of_a_curriculum_the_rows_of_its_last_size_can_be_learnt_alone(tmp_path) -> None:
    sizes = [[1, 2, 20], [2, 2, 30], [2, 3, 25]]
    data = {"register_machine": {"kind": "hidden", "sizes": sizes}, "held_out": 0.3, "max_tokens": 80}
    stage = {"curriculum": "last"}
    config = tiny(data=data, memento=stage)
    learning = ready(config, tmp_path).learning
    full, memento = (learning.examples_of(each.settings) for each in stages_of(config))
    assert full == learning.train
    texts = [learning.tokenizing.tokenizer.decode(ids) for ids in memento.table["ids"]]
    # Its problems alone have three steps.
    assert len(texts) > 10
    assert all(len(text.partition("<|assistant|>")[0].split()) == 3 + 1 + 1 + 3 for text in texts)
    assert len(full.lengths) - len(memento.lengths) > 20
    asked = [row["problem"] for row in learning.problems]
    assert asked
    assert all(len(problem.split()) == 3 + 1 + 1 + 3 for problem in asked)


def test_rows_without_sizes_are_all_of_the_last(tmp_path) -> None:
    examples = prepared(tmp_path, [])
    assert examples.of_last_size().table.to_list() == examples.table.to_list()
    with pytest.raises(ValidationError, match="curriculum: last is for register machines"):
        tiny(data={"dataset": "me/rows"}, memento={"curriculum": "last"})


def test_a_pack_says_how_long_the_prompt_of_each_example_is(tmp_path) -> None:
    examples = prepared(tmp_path, [])
    (pack,) = packed_examples(examples, 200, seed=1)
    assert sorted(zip(pack["lengths"], pack["prompts"], strict=True)) == sorted(
        (each["length"], each["prompt"]) for each in examples.table
    )
    ids, labels = (
        np.split(pack["input_ids"], pack["lengths"][:1]),
        np.split(pack["labels"], pack["lengths"][:1]),
    )
    for of_one, its_labels, prompt in zip(ids, labels, pack["prompts"], strict=True):
        assert set(its_labels[:prompt].tolist()) == {IGNORED}
        assert its_labels[prompt:].tolist() == of_one[prompt:].tolist()
