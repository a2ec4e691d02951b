"""Rows with several answers: each is a trace with an origin of its own, counted, and kept in its place."""

from collections import Counter
from typing import Any

import pytest

from tests.ingest.workshop import Killed, Workshop, killing


def row(number: int, *right: bool | None) -> dict[str, Any]:
    """A row as OpenR1-Math has it, with an answer for each verdict."""
    return {
        "problem": f"What is {number} + 1?",
        "solution": "Counting on the fingers.",
        "answer": str(number + 1),
        "generations": [
            f"<think>\nTry {n} at adding {number} and 1.\n</think>\n\nIt is {number + 1}."
            for n in range(len(right))
        ],
        "correctness_math_verify": list(right),
        "messages": [{"role": "user", "content": "not these"}, {"role": "assistant", "content": "at all"}],
    }


ROWS = [row(1, True, False, True), row(2, False), row(3, True)]


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_each_confirmed_answer_is_a_trace_and_each_other_is_counted(workshop: Workshop, kind: str) -> None:
    getattr(workshop, kind)(f"a.{kind}", ROWS)
    workshop.ingest()
    assert [trace["origin"] for trace in workshop.slot()] == [f"a.{kind}:{n}" for n in ("1:1", "1:3", "3:1")]
    assert [trace["reasoning"] for trace in workshop.slot()] == [
        "\nTry 0 at adding 1 and 1.\n",
        "\nTry 2 at adding 1 and 1.\n",
        "\nTry 0 at adding 3 and 1.\n",
    ]
    assert {row["origin"]: row["reason"] for row in workshop.rejected()} == {
        f"a.{kind}:1:2": "not_verified",
        f"a.{kind}:2:1": "not_verified",
    }
    manifest = workshop.run.read_manifest("ingest", 0)
    assert manifest is not None
    assert (manifest.rows_in, manifest.rows_out) == (5, 3)


def test_answers_of_one_row_count_for_answers_per_problem(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [row(1, True, True, True), row(2, True)])
    workshop.ingest(select={"answers_per_problem": 2})
    assert Counter(trace["problem"] for trace in workshop.slot()) == {
        "What is 1 + 1?": 2,
        "What is 2 + 1?": 1,
    }


def test_lists_of_different_lengths_are_a_counted_reason(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [row(1, True) | {"correctness_math_verify": [True, True]}, row(2, True)])
    workshop.ingest()
    assert [(r["reason"], r["detail"]) for r in workshop.rejected()] == [
        ("unreadable_row", "1 answers and 2 verdicts in correctness_math_verify")
    ]


def test_a_higher_limit_keeps_the_answers_that_were_taken_in_their_places(workshop: Workshop) -> None:
    workshop.parquet("a.parquet", [row(n, True, True, True) for n in range(20)])
    workshop.ingest(select={"limit": 10}, traces_per_shard=4)
    before = workshop.slot()
    workshop.ingest(select={"limit": 40}, traces_per_shard=4)
    assert workshop.slot()[:10] == before
    assert len(workshop.slot()) == 40


def test_a_killed_ingest_goes_on_to_the_same_traces(workshop: Workshop) -> None:
    workshop.parquet("a.parquet", [row(n, True, False, True) for n in range(20)])
    workshop.ingest(traces_per_shard=7)
    whole = workshop.slot()
    for path in workshop.run.root.glob("ingest/shard-*"):
        path.unlink()
    (workshop.run.root / "ingest" / "selection.json").unlink()
    with pytest.raises(Killed):
        workshop.ingest(killing(2), traces_per_shard=7)
    workshop.ingest(traces_per_shard=7)
    assert workshop.slot() == whole


def test_progress_counts_rows_and_not_their_answers(workshop: Workshop) -> None:
    workshop.parquet("a.parquet", [row(n, True, True, True) for n in range(10)])
    workshop.ingest()
    assert workshop.progress[0] == (10, 10)
