"""Answers of each kind: right, wrong, and none."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.judging import (
    NO_ANSWER,
    UNREADABLE,
    WRONG,
    Judgement,
    function_named,
    judgement,
    unreadable,
)
from pipeline.evaluate.problems import Problem
from pipeline.evaluate.tasks import task_of


def problem(kind, expected: str, details=None) -> Problem:  # type: ignore[no-untyped-def]
    return Problem("1", "asked", expected, kind, details=details)


# Of each kind of writing what is the same and what is not: expected, answer, whether it is right.
SAME = [
    ("1/2", r"So it is \boxed{0.5}.", True),
    (r"\frac{\sqrt{3}}{2}", r"$\boxed{\sqrt{3}/2}$", True),
    ("204", r"The answer is \boxed{24}", False),
    (r"(-\infty, 2]", r"$\boxed{\left(-\infty,2\right]}$", True),
    ("[1, 4]", r"\boxed{1 \le x \le 4}", True),
    ("[1, 4]", r"\boxed{1 < x \le 4}", False),
    (r"\{1, 2\}", r"\boxed{\{2, 1\}}", True),
    ("x^2-1", r"\boxed{(x-1)(x+1)}", True),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\boxed{\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}}", True),
    # Words are no products of letters, dates and times no numbers.
    ("listen", r"\boxed{silent}", False),
    ("listen", r"\boxed{\text{Listen}}", True),
    ("2018", r"\boxed{2024-01-05}", False),
    ("2024-01-05", r"\boxed{2018}", False),
    ("2024-01-05", r"\boxed{2024-01-05}", True),
    ("9:30", r"\boxed{9:30}", True),
    ("9:30", r"\boxed{3:10}", False),
    ("3:10", r"\boxed{6:20}", False),
    ("2:3", r"\boxed{4:6}", True),
    ("DBCA", r"\boxed{ABCD}", False),
    ("no solution", r"\boxed{\text{No solution.}}", True),
    ("no solution", r"\boxed{0}", False),
    ("7", r"\boxed{\text{seven}}", False),
    (r"\text{May 4}", r"\boxed{\text{May 5}}", False),
    ("x-ray", r"\boxed{\text{X-ray}}", True),
    ("偶数", r"\boxed{奇数}", False),
    ("偶数", r"\boxed{偶数}", True),
    ("xy", r"\boxed{y \cdot x}", True),
    (r"x \cdot y", r"\boxed{xy}", True),
    ("p - q", r"\boxed{p-q}", True),
    ("2ab", r"\boxed{2ba}", True),
    ("sin x", r"\boxed{\sin(x)}", True),
    ("sin x", r"\boxed{\cos x}", False),
    ("2pi", r"\boxed{2\pi}", True),
    ("2 sin x", r"\boxed{2\sin x}", True),
    ("2 sin x", r"\boxed{2}", False),
    ("ab + c", r"\boxed{c + ab}", True),
    ("3与5", r"\boxed{5}", False),
    # The last box that says something counts.
    ("7", r"First \boxed{7}, but no: \boxed{8}.", False),
    ("8", r"First \boxed{7}, but no: \boxed{8}.", True),
    ("8", r"\boxed{8} with $y=3$ left out, \boxed{}", True),
    ("8", r"\boxed{\boxed{8}}", True),
    ("8", r"\fbox{8}", True),
    ("8", r"\boxed 8", True),
    ("8", r"\boxed 7, no, \boxed 8", True),
    ("8", "The answer is 8. I have checked it.", True),
    ("10:30 a.m.", "The answer is 10:30 a.m.", True),
    ("8", "The answer is 7. No, the answer is 8.", True),
    ("8", "Answer: 7\n\nI forgot one.\n\nAnswer: 8\n\nThat is all.", True),
    ("8", r"\boxed{\text{The answer is } 8}", True),
    ("8", r"We see $9$ first. **Answer: 8**", True),
    ("9", r"We see $9$ first. **Answer: 8**", False),
    ("8", "8", True),
    # A unit may be left out, but not be another one.
    ("5", r"\boxed{5 \text{ m/s}}", True),
    (r"5\text{ m/s}", r"\boxed{5}", True),
    ("5 m/s", r"\boxed{5\,\mathrm{m}\,\mathrm{s}^{-1}}", True),
    ("5 m/s", r"\boxed{5 \text{ km/h}}", False),
    ("5 m/s", r"\boxed{6 \text{ m/s}}", False),
    ("5 cm", r"\boxed{5\text{ km}}", False),
    ("5 cm", r"\boxed{5 \text{ centimeters}}", True),
    ("5 cm", r"\boxed{5 \text{ cm}^2}", False),
    ("5 square meters", r"\boxed{5\text{ m}^2}", True),
    (r"9\text{ a.m.}", r"\boxed{9\text{ p.m.}}", False),
    ("90", r"\boxed{90^\circ}", True),
    (r"20^\circ\text{C}", r"\boxed{20^\circ \text{F}}", False),
    ("12 apples", r"\boxed{12}", True),
    ("12 apples", r"\boxed{12 \text{ pieces of fruit}}", True),
    ("$3.50", r"\boxed{\$3.5}", True),
    ("$3.50", r"\boxed{€3.50}", False),
    ("-$5", r"\boxed{-5}", True),
    ("-$5", r"\boxed{5}", False),
    ("3个", r"\boxed{3}", True),
    (r"1010_2", r"\boxed{1010_3}", False),
    (r"1010_2", r"\boxed{1010_{2}}", True),
    ("5x", r"\boxed{5}", False),
    ("5m", r"\boxed{5}", False),
    # Numbers as they are written.
    ("12,345", r"\boxed{12\,345}", True),
    ("1 000 000", r"\boxed{10^6}", True),
    ("2 1/3", r"\boxed{\frac{7}{3}}", True),
    ("-2 1/3", r"\boxed{-\frac{7}{3}}", True),
    ("3e8", r"\boxed{3 \times 10^8}", True),
    ("50 percent", r"\boxed{0.5}", True),
    ("50%", r"\boxed{50}", True),
    ("½", r"\boxed{\frac12}", True),
    ("x²", r"\boxed{x^2}", True),
    ("√2", r"\boxed{\sqrt{2}}", True),
    ("−5", r"\boxed{-5}", True),
    ("12", r"\boxed{１２}", True),
    (r"\boxed{12}", r"\boxed{12}", True),
    ("He has 3 times 4.\n#### 12", r"\boxed{12}", True),
    # Small and great numbers that differ are not the same.
    (r"\frac{1}{2^{99}}", r"\boxed{\frac{1}{2^{98}}}", False),
    (r"6.6 \times 10^{-34}", r"\boxed{6.6 \times 10^{-31}}", False),
    ("0.0000001", r"\boxed{0.0000002}", False),
    ("10^{40}", r"\boxed{10^{40}+1}", False),
    ("1/3", r"\boxed{0.333333}", True),
    ("1/3", r"\boxed{0.33}", False),
    (r"1\%", r"\boxed{0.0001}", False),
]


@pytest.mark.parametrize(("expected", "answer", "is_right"), SAME)
def test_what_is_the_same_is_right_and_nothing_else(expected: str, answer: str, is_right: bool) -> None:
    assert judgement(problem("math", expected), answer).fault == ("" if is_right else WRONG)


@pytest.mark.parametrize("answer", ["I do not know.", "I could not do it in 5 hours.", "", "\\boxed{}"])
def test_a_number_that_is_only_mentioned_is_no_answer(answer: str) -> None:
    found = judgement(problem("math", "5"), answer)
    assert (found.said, found.fault) == (None, NO_ANSWER)


def test_equal_answers_are_one_in_a_vote() -> None:
    said = {
        judgement(problem("math", "5"), f"\\boxed{{{text}}}").said for text in ("5", r"5\text{ cm}", "05")
    }
    assert said == {"5"}
    said = {
        judgement(problem("math", "Paris"), text).said for text in (r"\boxed{\text{paris}}", "Answer: Paris.")
    }
    assert said == {"paris"}


@pytest.mark.parametrize("expected", ["", r"\frac{1}{", "???"])
def test_a_reference_that_cannot_be_read_makes_no_answer_wrong(expected: str) -> None:
    assert unreadable("math", expected)
    assert judgement(problem("math", expected), r"\boxed{5}").fault == UNREADABLE


def test_a_reference_is_read_as_its_kind() -> None:
    assert not unreadable("math", "5 cm")
    assert unreadable("math", "Paris")
    assert not unreadable("words", "Paris")
    assert unreadable("words", " ?! ")
    assert not unreadable("choice", "B")
    assert unreadable("choice", "both")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (r"\boxed{B}", "B"),
        (r"\boxed{b}", "B"),
        (r"\boxed{\text{(B)}}", "B"),
        (r"\boxed{\text{Option B: it grows}}", "B"),
        (r"\boxed{\text{it grows (B)}}", "B"),
        (r"First \boxed{A}, then \boxed{B}", "B"),
        (r"\boxed{A \text{ or } B}", None),
        (r"\boxed{\text{(A) and (B)}}", None),
        (r"\boxed{\text{a longer wait}}", None),
        (r"\boxed{3\,\text{C}}", None),
        (r"\boxed{E = mc^2}. **Answer: D**", "D"),
        ("A is wrong. The answer is B", "B"),
        ("Answer: (C)", "C"),
        ("Answer: B\n\nWhy not answer A? It fails.", "B"),
        ("The answer is a mixture, so B.", "B"),
        ("The answer I give is B.", "B"),
        ("The right option is (B).", "B"),
        ("Answer: A\n\nNo, that fails.\n\nAnswer: B", "B"),
        ("**B**", "B"),
        ("B) it grows", "B"),
        ("答案：C", "C"),
        ("A good question", None),
        ("I cannot say which.", None),
    ],
)
def test_a_letter_is_found_where_it_is_the_answer(answer: str, said: str | None) -> None:
    found = judgement(problem("choice", "B"), answer)
    assert found.said == said
    assert found.fault == (NO_ANSWER if said is None else "" if said == "B" else WRONG)


def test_words_are_compared_word_by_word() -> None:
    assert judgement(problem("words", "1 2 3 "), " 1 2  3").is_right
    assert not judgement(problem("words", "1 2 3 "), "1 23").is_right
    assert not judgement(problem("words", "1/2"), r"\boxed{0.5}").is_right
    assert judgement(problem("words", "New York"), r"It is \boxed{\text{new york}}").is_right
    assert judgement(problem("words", "New York"), "").fault == NO_ANSWER


def by_length(answer: str, row: Mapping[str, Any]) -> Any:
    """A user's judge: of the column `wanted`, which may also be a judgement, or what is none."""
    return len(answer) == row["wanted"] if isinstance(row["wanted"], int) else row["wanted"]


def test_a_users_own_function_judges() -> None:
    def judged(wanted: object, answer: str = "abc") -> Judgement:
        details = ("tests.evaluate.test_judging.by_length", {"wanted": wanted})
        return judgement(problem("function", "", details), answer)

    assert judged(3).is_right
    assert judged(4).fault == WRONG
    assert judged(3, r"a\boxed{b}").said == "b", "votes count what is boxed"
    assert judged(Judgement("said", "too short")) == Judgement("said", "too short")
    with pytest.raises(TypeError, match="neither a bool nor"):
        judged("yes")


def test_a_function_that_is_not_there_is_named() -> None:
    with pytest.raises(EvaluateError, match=r"judge no_such.judge: cannot be imported"):
        function_named("no_such.judge")
    with pytest.raises(EvaluateError, match=r"judge math.pi: is not a function"):
        function_named("math.pi")


def test_computed_problems_are_judged_by_what_made_them() -> None:
    pytest.importorskip("reasoning_gym", reason="needs a C compiler to be installed")
    (asked,) = task_of("gym:chain_sum", 1).problems
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
