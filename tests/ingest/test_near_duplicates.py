"""Problems that are nearly the same: the first one's traces stay, the others are left out and say why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.near_duplicates import sketch
from tests.ingest.test_benchmarks import LEAKS
from tests.ingest.workshop import Workshop, make_row

LONG = (
    "A farmer has a rectangular field whose longer side is three times as long as the shorter one. He builds "
    "a fence around all of it and needs 640 metres. How many square metres does the field have in all?"
)


def test_the_first_of_nearly_equal_problems_stays(workshop: Workshop) -> None:
    changed = LONG.replace("farmer", "gardener").upper().replace(".", " .")
    rows = [
        make_row(1, problem=LONG),
        make_row(2, problem=changed),
        make_row(3, problem=changed),
        make_row(4),
    ]
    workshop.jsonl("a.jsonl", rows[:2])
    workshop.jsonl("b.jsonl", rows[2:])
    workshop.ingest(select={"near_duplicates": 0.8})
    assert [row["problem"] for row in workshop.slot()] == [LONG, rows[3]["conversations"][0]["value"]]
    assert [(r["origin"], r["reason"]) for r in workshop.rejected()] == [
        ("a.jsonl:2", "near_duplicate"),
        ("b.jsonl:1", "near_duplicate"),
    ]
    assert all("alike that of a.jsonl:1" in row["detail"] for row in workshop.rejected())


def test_answers_to_one_problem_are_no_near_duplicates(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(n, problem=LONG) for n in range(5)])
    workshop.ingest(select={"near_duplicates": 0.8})
    assert len(workshop.slot()) == 5


def test_the_threshold_decides(workshop: Workshop) -> None:
    other = LONG.replace("640 metres", "888 metres").replace("three times", "twice").replace("fence", "wall")
    workshop.jsonl("a.jsonl", [make_row(1, problem=LONG), make_row(2, problem=other)])
    workshop.ingest(select={"near_duplicates": 0.9})
    assert len(workshop.slot()) == 2
    workshop.ingest(select={"near_duplicates": 0.6})
    assert len(workshop.slot()) == 1


def test_without_the_rule_nothing_is_compared(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(1, problem=LONG), make_row(2, problem=LONG + " Say it.")])
    workshop.ingest()
    assert len(workshop.slot()) == 2


@given(st.text())
def test_any_text_has_a_sketch_that_is_always_the_same(text: str) -> None:
    assert sketch(text) == sketch(text)


@pytest.mark.parametrize("script", ["English", "Chinese"])
def test_a_changed_number_is_as_near_a_duplicate_in_every_script(workshop: Workshop, script: str) -> None:
    problem, before, _, change, other = LEAKS[script]
    near = [problem.replace(*change), before.format(problem)]
    for text, kept in ((near[0], 1), (near[1], 1), (other, 2)):
        workshop.jsonl("a.jsonl", [make_row(1, problem=problem), make_row(2, problem=text)])
        workshop.ingest(select={"near_duplicates": 0.7})
        assert len(workshop.slot()) == kept
