"""The records stage: what it publishes and what it refuses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import RECORDS, parse
from pipeline.records.record_checks import RECORD_CHECKS, Record, check_record, check_response
from tests.records.rows import MEMENTOS, memento, row, table
from tests.through_stages import through


def test_a_sound_row_gets_its_response() -> None:
    result = through(RECORDS, table(row()))
    parsed = parse(result.done.column("response").to_pylist()[0])
    assert parsed.mementos == list(MEMENTOS)
    assert parsed.answer == "\n\nThe answer is 42."
    assert parsed.reasoning == row()["reasoning"]
    assert result.done.schema.field("response") == RECORDS.adds.field("response")


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="<|>"), min_size=1),
            min_size=1,
            max_size=4,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_rows_blocks_concatenate_to_its_reasoning(blocks: list[list[str]]) -> None:
    mementos = [memento("m", tokens=0) for _ in blocks]
    given_row = row(blocks=blocks, mementos=mementos, block_tokens=[1] * len(blocks))
    result = through(RECORDS, table(given_row))
    assert result.rejected.num_rows == 0
    response = result.done.column("response").to_pylist()[0]
    assert parse(response).blocks == ["".join(block) for block in blocks]


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("sentences_cover_reasoning", {"sentence_ends": [1, 2, 3]}, "characters of the reasoning once, in order"),
    ("sentences_cover_reasoning", {"sentence_ends": []}, "characters of the reasoning once, in order"),
    ("blocks_cover_sentences", {"block_ends": [2, 3]}, "do not cover the 4 sentences once, in order"),
    ("blocks_cover_sentences", {"block_ends": [2, 2, 4]}, "do not cover the 4 sentences once, in order"),
    ("one_memento_per_block", {"mementos": [memento("one")]}, "2 blocks and 1 mementos"),
    ("special_token", {"answer": "a<|im_end|>"}, "<|im_end|> stands in the answer"),
    ("special_token", {"problem": "<think>"}, "<think> stands in the problem"),
    ("special_token", {"problem": "a [/INST]"}, "[/INST] stands in the problem"),
    (
        "special_token",
        {"mementos": [memento("a"), memento("<|block_end|>")]},
        "<|block_end|> stands in the memento 1",
    ),
    ("empty", {"mementos": [memento("a"), memento(" \n")]}, "memento 1 is empty"),
    (
        "longer_than_block",
        {"mementos": [memento("a"), memento("b", tokens=99)]},
        "memento 1 has 99 tokens and its block 18",
    ),
]


@pytest.mark.parametrize(("check", "columns", "detail"), FAULTS)
def test_a_row_with_a_fault_is_rejected_by_the_name_of_the_check(
    check: str, columns: dict[str, Any], detail: str
) -> None:
    result = through(RECORDS, table(row("good"), row("bad", **columns)))
    assert result.done.column("trace_id").to_pylist() == ["good"]
    (rejected,) = result.rejected.to_pylist()
    assert (rejected["trace_id"], rejected["reason"]) == ("bad", "check_failed")
    assert rejected["detail"].startswith(f"{check}: ")
    assert detail in rejected["detail"]
    assert result.counters[f"check.{check}"] == 1


def test_every_check_of_a_record_has_an_example() -> None:
    assert {check.name for check in RECORD_CHECKS} == {name for name, _, _ in FAULTS}


def test_findings_of_the_round_that_was_kept_are_counted() -> None:
    mementos = [memento("a", checks=["planning"]), memento("b", checks=["planning", "heading"])]
    result = through(RECORDS, table(row(mementos=mementos)))
    assert {name: n for name, n in result.counters.items() if name.startswith("check.")} == {
        "check.planning": 2,
        "check.heading": 1,
    }


def test_blocks_and_tokens_of_kept_records_are_counted() -> None:
    result = through(RECORDS, table(row("t0"), row("t1"), row("t2", answer="<think>")))
    assert result.counters["blocks"] == 4
    assert result.counters["block_tokens"] == 2 * 36
    assert result.counters["memento_tokens"] == 2 * 8


def test_an_empty_shard_stays_empty() -> None:
    result = through(RECORDS, table())
    assert (result.done.num_rows, result.rejected.num_rows) == (0, 0)
    assert "response" in result.done.column_names


def _record() -> Record:
    return Record("p", "a b", "c", [2, 3], [1, 2], [1, 1], ["x", "y"], [0, 0])


GOOD = (
    "<think><|block_start|>a <|block_end|><|summary_start|>x<|summary_end|>"
    "<|block_start|>b<|block_end|><|summary_start|>y<|summary_end|></think>c"
)


def test_a_response_that_gives_back_its_parts_passes() -> None:
    assert check_record(_record()) == []
    assert check_response(_record(), GOOD) == []


@pytest.mark.parametrize(
    ("response", "detail"),
    [
        (GOOD.replace("</think>", ""), "cannot be parsed"),
        (GOOD.replace(">a <", ">a<"), "gives back other parts"),
        (GOOD.replace(">y<", ">z<"), "gives back other parts"),
        (GOOD + " ", "gives back other parts"),
    ],
)
def test_a_response_that_gives_back_other_parts_is_found(response: str, detail: str) -> None:
    (finding,) = check_response(_record(), response)
    assert finding.check == "parses_back"
    assert detail in finding.detail
