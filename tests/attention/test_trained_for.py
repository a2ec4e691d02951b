"""What a model was trained for is found in its folder, whole or not taken for it."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from pipeline.attention.trained_for import TrainedFor, read_trained_for, write_trained_for
from pipeline.attention.visibility import BlockTokens, Forgetting
from tests.attention.models import CONFIGS, model_of

RECORD = TrainedFor(
    forgets=True,
    forgetting=Forgetting(2, False),
    longest=1234,
    tokens=BlockTokens(5, 6, 7, 8),
    data="org/data",
    revision="abc",
    rows="def",
    version="0.1.0",
)


def written() -> Any:
    config = CONFIGS["qwen3"].__class__(**CONFIGS["qwen3"].to_dict())
    write_trained_for(config, RECORD)
    return config


def test_a_saved_model_says_what_it_was_trained_for(tmp_path: Path) -> None:
    model_of(written()).save_pretrained(tmp_path)
    assert read_trained_for(AutoConfig.from_pretrained(tmp_path)) == RECORD


def test_a_model_without_a_record_has_none() -> None:
    assert read_trained_for(CONFIGS["llama"]) is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("forgets", None, "memento.forgets is None, not true or false"),
        ("keep_last_blocks", "0", "memento.keep_last_blocks is '0', not a whole number"),
        ("keep_last_blocks", True, "memento.keep_last_blocks is True, not a whole number"),
        ("keep_last_blocks", -2, "keep_last_blocks is -2"),
        ("mask_delimiters", 1, "memento.mask_delimiters is 1, not true or false"),
        ("longest", 1.5, "memento.longest is 1.5, not a whole number"),
        ("tokens", [1, 2, 3, 4], "memento.tokens is .*, not a table"),
        ("tokens", {"block_start": 1}, "memento.tokens.block_end is None, not a whole number"),
        ("rows", 3, "memento.rows is 3, not a text"),
    ],
)
def test_a_record_that_cannot_be_read_says_what_of_it(name: str, value: object, said: str) -> None:
    config = written()
    config.memento = {**config.memento, name: value}
    with pytest.raises(ValueError, match=said):
        read_trained_for(config)


def test_what_is_no_record_is_named() -> None:
    config = written()
    config.memento = "yes"
    with pytest.raises(ValueError, match=r"config\.json: memento is 'yes', not the record of a training"):
        read_trained_for(config)


def test_what_later_versions_add_is_left_alone() -> None:
    config = written()
    config.memento = {**config.memento, "colour": "blue"}
    assert read_trained_for(config) == RECORD
