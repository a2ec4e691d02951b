"""The split stage: a shard of traces, each with the ends and sizes of its sentences."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import schemas.tables
from pipeline.config import SplitConfig
from pipeline.ingest.think_tags import Thought, split_thought
from pipeline.segmentation.split import stage
from pipeline.segmentation.split.stage import SPLIT
from pipeline.text.pieces import cut
from pipeline.text.tokens import token_counter
from tests.through_stages import through

SAMPLE = Path(__file__).parents[3] / "data" / "sample" / "traces.jsonl"
TEXTS = (
    "The train leaves at noon. We have to walk there! Can we make it in time?  I think that we can.",
    "One sentence alone",
    " \n\n ",
    "Naïve \U0001f642 text \\[ a. B \\] ends.\r\n\r\n```python\nx = 1. Y\n```\nThat is the code of it.\n\n",
)


def shard(*texts: str) -> pa.Table:
    rows: list[dict[str, Any]] = [
        {
            "trace_id": f"t{number}",
            "problem": "p",
            "reasoning": text,
            "answer": "a",
            "domain": "math",
            "source": "handmade",
            "difficulty": None,
            "origin": f"handmade.jsonl:{number}",
        }
        for number, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schemas.tables.TRACES)


def sentences(done: pa.Table) -> list[list[str]]:
    columns = done.select(["reasoning", "sentence_ends"]).to_pylist()
    return [cut(row["reasoning"], row["sentence_ends"]) for row in columns]


def test_split_adds_its_columns_and_keeps_the_rows_in_their_order() -> None:
    rows = shard(*TEXTS)
    result = through(SPLIT, rows)
    assert result.done.schema == pa.schema([*schemas.tables.TRACES, *schemas.tables.SENTENCES])
    assert result.done.select(rows.column_names) == rows
    assert (result.rejected.num_rows, result.failed.num_rows) == (0, 0)


def test_sentences_of_every_row_concatenate_to_its_reasoning() -> None:
    done = through(SPLIT, shard(*TEXTS)).done
    assert ["".join(pieces) for pieces in sentences(done)] == list(TEXTS)
    assert [len(pieces) for pieces in sentences(done)][:3] == [4, 1, 1]


@pytest.mark.parametrize("tokenizer", ["cl100k_base", "o200k_base"])
def test_the_sentences_tokens_in_the_config_s_vocabulary_add_up_to_the_reasoning_s(tokenizer: str) -> None:
    done = through(SPLIT, shard(*TEXTS), split=SplitConfig(tokenizer=tokenizer)).done
    sizes = done["sentence_tokens"].to_pylist()
    assert [sum(size) for size in sizes] == token_counter(tokenizer)(TEXTS)
    assert [len(size) for size in sizes] == [len(pieces) for pieces in sentences(done)]


def test_the_sample_traces_come_through_byte_for_byte() -> None:
    lines = SAMPLE.read_text("utf-8").splitlines()
    parts = [split_thought(json.loads(line)["conversations"][1]["value"]) for line in lines]
    texts = [part.reasoning for part in parts if isinstance(part, Thought)]
    done = through(SPLIT, shard(*texts)).done
    assert len(texts) == 19
    assert ["".join(pieces) for pieces in sentences(done)] == texts
    assert min(len(pieces) for pieces in sentences(done)) > 5


def test_an_empty_shard_stays_empty() -> None:
    done = through(SPLIT, shard()).done
    assert done.num_rows == 0
    assert done.schema == pa.schema([*schemas.tables.TRACES, *schemas.tables.SENTENCES])


def test_a_splitter_that_loses_text_stops_the_run_and_names_the_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "split", lambda text: [min(9, len(text))])
    with pytest.raises(ValueError, match="trace t1: its 1 sentences do not concatenate to the reasoning"):
        through(SPLIT, shard("short", "longer than nine characters"))
