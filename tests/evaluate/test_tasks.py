"""Problems of a task, by its name."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.evaluate.benchmarks import BENCHMARKS
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.tasks import _problem, task_of


def test_register_machines_are_new_ones_and_the_same_each_time() -> None:
    problems = task_of("register-machine:2x3", 5).problems
    assert len({each.prompt for each in problems}) == 5
    assert problems == task_of("register-machine:2x3", 5).problems
    assert problems == task_of("register-machine:2x3", 9).problems[:5]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("register-machine:0x3", "give 1 to 9 runs and 1 to 18 steps"),
        ("register-machine:2x99", "give 1 to 9 runs and 1 to 18 steps"),
        ("aime99", "not known; there are aime24"),
        ("none.jsonl", "no such file"),
        ("none.jsonl:words", "no such file"),
        ("pyproject.toml:words", "not known"),
    ],
)
def test_what_is_not_there_is_named(task: str, message: str) -> None:
    with pytest.raises(EvaluateError, match=message):
        task_of(task, 1)


def lines(path: Path, *rows: dict[str, object]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def asked(task: str) -> list[tuple[str, str]]:
    return [(each.kind, each.expected) for each in task_of(task, None).problems]


def test_the_kind_of_each_answer_is_found_from_its_reference_and_said(tmp_path: Path) -> None:
    answers = ["7", "x^2", "Paris", "2024-01-05"]
    # A list of one is that one.
    file = lines(tmp_path / "mine.jsonl", *({"problem": "What?", "answer": [each]} for each in answers))
    assert [kind for kind, _ in asked(file)] == ["math", "math", "words", "words"]
    told = task_of(file, None).told
    assert told == [f"{file}: 4 answers are read: 2 as mathematics, 2 as words (otherwise: {file}:KIND)"]
    letters = lines(tmp_path / "letters.jsonl", *({"problem": "Which?", "answer": a} for a in ("B", "(D)")))
    assert asked(letters) == [("choice", "B"), ("choice", "D")]
    assert "letter of the right option" not in task_of(file, None).problems[0].prompt


def test_the_kind_that_is_told_behind_a_file_holds(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "mine.jsonl", {"problem": "What?", "answer": "b"}, {"problem": "1?", "answer": "2"}
    )
    assert asked(f"{file}:words") == [("words", "b"), ("words", "2")]
    assert task_of(f"{file}:words", None).told == []
    assert asked(f"{file}:choice") == [("choice", "B")]
    assert "letter of the right option" in task_of(f"{file}:choice", None).problems[0].prompt
    assert asked(f"{file}:math") == [("math", "2")], "one letter may be a word, and is not a number"
    (judged, _) = task_of(f"{file}:tests.evaluate.test_judging.by_length", None).problems
    assert (judged.kind, judged.details) == (
        "function",
        ("tests.evaluate.test_judging.by_length", {"problem": "What?", "answer": "b"}),
    )


def test_a_row_that_no_answer_could_be_judged_by_is_counted_and_not_asked(tmp_path: Path) -> None:
    rows = [("1 + 1?", "2"), ("1 + 2?", None), (None, "3"), ("1?", "\\frac{1"), (" ", "3"), ("2?", "")]
    file = lines(tmp_path / "mine.jsonl", *({"problem": p, "answer": a} for p, a in rows))
    found = task_of(file, None)
    assert [each.expected for each in found.problems] == ["2"]
    assert found.left_out == {
        "answer is no text or number": 2,
        "problem is no text": 2,
        "answer cannot be read as mathematics": 1,
    }
    assert f"{file}: 2 of 6 rows are not asked: problem is no text (rows 3, 5)" in found.told
    none = lines(tmp_path / "none.jsonl", {"problem": "1?", "answer": ""})
    with pytest.raises(
        EvaluateError, match=r"1 of 1 rows are not asked: answer is no text or number \(row 1\)"
    ):
        task_of(none, None)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(EvaluateError, match="has no rows"):
        task_of(str(tmp_path / "empty.jsonl"), None)


def test_files_are_read_as_problems_of_mathematics(tmp_path: Path) -> None:
    rows = [{"problem": "1 + 1?", "answer": 2}, {"problem": "1 + 2?", "answer": 3}]
    file = Path(lines(tmp_path / "mine.jsonl", *rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mine.parquet")
    problems = task_of(str(file), None).problems
    assert [each.expected for each in problems] == ["2", "3"]
    assert "1 + 2?" in problems[1].prompt
    assert task_of(str(tmp_path / "mine.parquet"), 1).problems == problems[:1]
    file.write_text('{"question": "1 + 1?"}\n')
    with pytest.raises(EvaluateError, match="row 1 has no column problem or answer, but question"):
        task_of(str(file), None)


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
