"""Problems of a task, by its name."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.evaluate.benchmarks import BENCHMARKS
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.tasks import _problem, problems_of


def test_register_machines_are_new_ones_and_the_same_each_time() -> None:
    problems = problems_of("register-machine:2x3", 5)
    assert len({each.prompt for each in problems}) == 5
    assert problems == problems_of("register-machine:2x3", 5)
    assert problems == problems_of("register-machine:2x3", 9)[:5]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("register-machine:0x3", "give 1 to 9 runs and 1 to 18 steps"),
        ("register-machine:2x99", "give 1 to 9 runs and 1 to 18 steps"),
        ("aime99", "not known; there are aime24"),
        ("none.jsonl", "no such file"),
    ],
)
def test_what_is_not_there_is_named(task: str, message: str) -> None:
    with pytest.raises(EvaluateError, match=message):
        problems_of(task, 1)


def test_files_are_read_as_problems_of_mathematics(tmp_path: Path) -> None:
    rows = [{"problem": "1 + 1?", "answer": 2}, {"problem": "1 + 2?", "answer": 3}]
    lines = tmp_path / "mine.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mine.parquet")
    problems = problems_of(str(lines), None)
    assert [each.expected for each in problems] == ["2", "3"]
    assert "1 + 2?" in problems[1].prompt
    assert problems_of(str(tmp_path / "mine.parquet"), 1) == problems[:1]
    lines.write_text('{"question": "1 + 1?"}\n')
    with pytest.raises(EvaluateError, match="row 1 has no column problem or answer, but question"):
        problems_of(str(lines), None)


def test_options_have_an_order_of_their_own_with_the_right_one_among_them() -> None:
    benchmark = BENCHMARKS["gpqa-diamond"]
    letters = set()
    for number in range(20):
        row = {
            "Question": "What?",
            "Correct Answer": "right",
            **{f"Incorrect Answer {n}": f"wrong {n}" for n in (1, 2, 3)},
            "Record ID": f"rec{number}",
        }
        asked = _problem(number, row, benchmark)
        assert f"{asked.expected}) right" in asked.prompt
        assert asked == _problem(99, row, benchmark), "whatever stands before it"
        letters.add(asked.expected)
    assert letters == set("ABCD")


def test_a_programming_problem_says_how_it_is_run() -> None:
    row = {"question_content": "Add.", "question_id": "abc", "starter_code": "", "difficulty": "easy"}
    asked = _problem(0, row, BENCHMARKS["livecodebench"])
    assert "reads from standard input" in asked.prompt
    assert (asked.id, asked.group) == ("abc", "easy")
    started = _problem(0, row | {"starter_code": "class Solution:"}, BENCHMARKS["livecodebench"])
    assert "class Solution:" in started.prompt
