"""Answers of each kind: right, wrong, and none."""

import json

import pytest

from pipeline.evaluate.judging import NO_ANSWER, WRONG, judgement
from pipeline.evaluate.problems import Problem
from pipeline.evaluate.tasks import problems_of


def problem(kind, expected: str, details=None) -> Problem:  # type: ignore[no-untyped-def]
    return Problem("1", "asked", expected, kind, details=details)


@pytest.mark.parametrize(
    ("expected", "answer", "fault"),
    [
        ("1/2", "So it is \\boxed{0.5}.", ""),
        ("\\frac{\\sqrt{3}}{2}", "$\\boxed{\\sqrt{3}/2}$", ""),
        ("204", "The answer is \\boxed{204}", ""),
        ("204", "The answer is \\boxed{24}", WRONG),
        ("(-\\infty, 2]", "$\\boxed{\\left(-\\infty,2\\right]}$", ""),
        ("\\{1, 2\\}", "\\boxed{\\{2, 1\\}}", ""),
        ("5", "I do not know.", NO_ANSWER),
    ],
)
def test_mathematics_is_compared_as_mathematics(expected: str, answer: str, fault: str) -> None:
    assert judgement(problem("math", expected), answer).fault == fault


@pytest.mark.parametrize(
    ("answer", "said", "fault"),
    [
        ("\\boxed{B}", "B", ""),
        ("\\boxed{\\text{(B)}}", "B", ""),
        ("A is wrong. The answer is B", "B", ""),
        ("Answer: (C)", "C", WRONG),
        ("A good question", None, NO_ANSWER),
    ],
)
def test_a_letter_is_found_where_it_is_the_answer(answer: str, said: str | None, fault: str) -> None:
    found = judgement(problem("choice", "B"), answer)
    assert (found.said, found.fault) == (said, fault)


def test_words_are_compared_word_by_word() -> None:
    assert judgement(problem("words", "1 2 3 "), " 1 2  3").is_right
    assert not judgement(problem("words", "1 2 3 "), "1 23").is_right


def test_computed_problems_are_judged_by_what_made_them() -> None:
    pytest.importorskip("reasoning_gym", reason="needs a C compiler to be installed")
    (asked,) = problems_of("gym:chain_sum", 1)
    assert judgement(asked, f"\\boxed{{{asked.expected}}}").is_right
    assert judgement(asked, f"\\boxed{{{int(asked.expected) + 1}}}").fault == WRONG


@pytest.mark.slow
def test_a_program_has_to_pass_the_tests_of_its_problem() -> None:
    tests = [{"input": "2 3\n", "output": "5\n", "testtype": "stdin"}]
    details = {"public_test_cases": json.dumps(tests), "private_test_cases": None, "metadata": "{}"}
    adds = "```python\nprint(sum(map(int, input().split())))\n```"
    assert judgement(problem("code", "", details), adds).is_right
    assert judgement(problem("code", "", details), adds.replace("sum", "max")).fault == "wrong answer"
    assert judgement(problem("code", "", details), "I would add them.").fault == "no program"
