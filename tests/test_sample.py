"""The traces that ship with the project: complete, varied, and right in the end."""

import ast
import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.ingest.language import why_not_english
from pipeline.ingest.think_tags import Thought, split_thought
from pipeline.run.outcomes import Rejected, RejectReason
from pipeline.text.tokens import token_counter
from schemas.openmementos import SPECIAL_TOKENS

SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "traces.jsonl"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in SAMPLE.read_text("utf-8").splitlines()]


def problem(row: dict[str, Any]) -> str:
    return str(row["conversations"][0]["value"])


def thought(row: dict[str, Any]) -> Thought | Rejected:
    return split_thought(row["conversations"][1]["value"])


def is_good(row: dict[str, Any]) -> bool:
    parts = thought(row)
    return isinstance(parts, Thought) and why_not_english(parts.reasoning, parts.reasoning.encode()) is None


GOOD = [row for row in ROWS if is_good(row)]
REASONINGS = [parts.reasoning for row in GOOD if isinstance(parts := thought(row), Thought)]


def the_one(words: str) -> dict[str, Any]:
    [row] = [row for row in ROWS if words in problem(row)]
    return row


def answer(row: dict[str, Any]) -> str:
    parts = thought(row)
    assert isinstance(parts, Thought)
    return parts.answer


def test_rows_have_the_layout_of_openthoughts3() -> None:
    for row in ROWS:
        assert list(row) == ["difficulty", "source", "domain", "conversations"]
        assert row["source"] == "openmementos-sample"
        assert (row["difficulty"] is None) == (row["domain"] == "math")
        assert row["difficulty"] is None or 1 <= row["difficulty"] <= 10
        assert [list(turn) for turn in row["conversations"]] == [["from", "value"]] * 2
        assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"]
        assert row["conversations"][1]["value"].startswith("<think>\n")


def test_six_good_traces_of_each_domain() -> None:
    assert Counter(row["domain"] for row in GOOD) == {"math": 6, "code": 6, "science": 6}
    assert len({problem(row) for row in ROWS}) == len(ROWS) == 20


def test_of_the_other_two_one_is_cut_and_one_is_chinese() -> None:
    cut, chinese = (thought(row) for row in ROWS if not is_good(row))
    assert isinstance(cut, Rejected)
    assert cut.reason is RejectReason.CUT_BEFORE_THINK_END
    assert isinstance(chinese, Thought)
    assert len(re.findall("[\u4e00-\u9fff]", chinese.reasoning)) > 150


def test_reasoning_is_spread_over_800_to_3000_tokens() -> None:
    tokens = token_counter("cl100k_base")(REASONINGS)
    assert min(tokens) >= 800
    assert max(tokens) <= 3000
    assert sum(900 <= count <= 1300 for count in tokens) >= 4
    assert sum(1700 <= count <= 2300 for count in tokens) >= 3
    assert sum(count >= 2500 for count in tokens) >= 3


@pytest.mark.parametrize(
    ("form", "least"),
    [
        (r"^```\w*\n(.*\n)+?```$", 5),
        (r"^ {8,}\S", 5),
        (r"^\|(-+\|)+$|^\|( ?-+ ?\|)+$", 8),
        (r"\\\(.+?\\\)", 2),
        (r"^\\\[\n(.*\n)+?\\\]$", 5),
        (r"^\$\$\n(.*\n)+?\$\$$", 5),
        (r"\\begin\{aligned\}", 1),
        (r"\\begin\{align\}", 1),
        (r"\\begin\{cases\}", 1),
        (r"\\begin\{pmatrix\}", 2),
        (r"^ ?[-*] \S", 5),
        (r"^ ?1\. \S", 2),
        (r"\d\.\d+ (bar|J|N|m|mA|cM|V|cm)\b", 5),
        (r"\b(Wait|wait)\b", 9),
        ("Hmm", 9),
        ("✓", 15),
    ],
)
def test_the_forms_that_are_hard_to_cut_occur_in_the_reasoning(form: str, least: int) -> None:
    assert sum(re.search(form, text, re.MULTILINE) is not None for text in REASONINGS) >= least


def test_no_special_token_occurs() -> None:
    for text in [*REASONINGS, *map(problem, ROWS), *map(answer, GOOD)]:
        assert not [token for token in SPECIAL_TOKENS if token in text]


def test_the_page_tells_every_trace_and_its_tokens() -> None:
    told = re.findall(
        r"^\| (\d+) \| (\w+) \| .+ \| ([\d,]+) \| (\w+)",
        SAMPLE.with_name("README.md").read_text("utf-8"),
        re.M,
    )
    count = token_counter("cl100k_base")
    for line, (row, (number, domain, tokens, fate)) in enumerate(zip(ROWS, told, strict=True), start=1):
        _, _, inside = row["conversations"][1]["value"].partition("<think>")
        assert [line, row["domain"]] == [int(number), domain]
        assert int(tokens.replace(",", "")) == count([inside.partition("</think>")[0].strip()])[0]
        assert (fate == "good") == is_good(row)


def test_science_answers_are_stated_clearly() -> None:
    for row in GOOD:
        if row["domain"] == "science":
            assert answer(row).splitlines()[-1].startswith("**Answer:** ")


def coin_game(tosses: int = 80) -> tuple[float, float]:
    """The chance that HTH is before TTT and the mean length, summed over the first tosses."""
    chances, wins, mean = {"": 1.0}, 0.0, 0.0
    for toss in range(1, tosses + 1):
        reached: dict[str, float] = {}
        for (state, chance), side in product(chances.items(), "HT"):
            tail = (state + side)[-3:]
            if tail in ("HTH", "TTT"):
                wins += chance / 2 * (tail == "HTH")
                mean += chance / 2 * toss
            else:
                reached[tail] = reached.get(tail, 0) + chance / 2
        chances = reached
    return wins, mean


def seatings_without_neighbouring_couples() -> int:
    return sum(
        all(abs(seats.index(a) - seats.index(a + 1)) > 1 for a in (0, 2, 4))
        for seats in permutations(range(7))
    )


def area_of_pic() -> float:
    c, i = np.array([14, 0]), np.array([6, 4])
    p = np.array([5, 12]) - 15 * np.array([5, 12]) / 13
    center = np.array([7, -4])
    assert np.allclose([np.sum((point - center) ** 2) for point in (c, i, p, np.zeros(2))], 65)
    (a, b), (d, e) = c - i, p - i
    return float(abs(a * e - b * d)) / 2


def improper_integral() -> float:
    t = (np.arange(2_000_000) + 0.5) * (math.pi / 4_000_000)
    return float(np.mean(np.log1p(4 * np.tan(t) ** 2)) * math.pi / 2)


@pytest.mark.parametrize(
    ("words", "box", "value", "computed"),
    [
        ("divisible by $91$", "44", 44, lambda: sum((n * n + n + 1) % 91 == 0 for n in range(1, 1001))),
        ("three couples", "1968", 1968, seatings_without_neighbouring_couples),
        ("incenter", r"\dfrac{480}{13}", 480 / 13, area_of_pic),
        ("$HTH$", r"\left(\tfrac{7}{12},\ \tfrac{35}{6}\right)", (7 / 12, 35 / 6), coin_game),
        ("complex roots", "-1", -1, lambda: sum(1 / (np.roots([1, -2, 3, -4]) ** 2 + 1)).real),
        (r"\ln(1+4x^2)", r"\pi \ln 3", math.pi * math.log(3), improper_integral),
    ],
)
def test_math_answers_are_right(words: str, box: str, value: Any, computed: Callable[[], Any]) -> None:
    row = the_one(words)
    assert row["domain"] == "math"
    assert f"\\boxed{{{box}}}" in answer(row)[-60:]
    assert computed() == pytest.approx(value, abs=1e-5)


def program(row: dict[str, Any]) -> str:
    [found] = re.findall(r"^```python\n(.*?)^```$", answer(row), re.MULTILINE | re.DOTALL)
    return str(found)


def printed(source: str, given: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", source], input=given, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


CODE = [row for row in GOOD if row["domain"] == "code"]


@pytest.mark.parametrize("row", CODE, ids=lambda row: problem(row)[:30])
def test_programs_do_the_example_of_their_problem(row: dict[str, Any]) -> None:
    ast.parse(program(row))
    example, expected = re.findall(r"put:\n```\n(.*?)```", problem(row), re.DOTALL)
    assert printed(program(row), example) == expected.split()


@pytest.mark.parametrize(
    ("words", "given", "expected"),
    [
        ("museum", "1\n5\n10 2 3\n", "2"),
        ("museum", "11\n1 2 3 4 5 6 7 8 9 10 11\n1 100 9\n", "10"),
        ("museum", "3\n1 5 1000000000\n4 5 6\n", "10"),
        ("courier", "2 1 1\n1 2 7\n", "0"),
        ("courier", "3 2 5\n1 2 7\n3 2 1\n", "-1"),
        ("courier", "4 4 2\n1 2 9\n2 3 9\n3 4 5\n1 4 30\n", "0"),
        ("courier", "4 4 0\n1 2 9\n2 3 9\n3 4 5\n1 4 30\n", "23"),
        ("packed string", "3(ab)\n4\n1 5 6 7\n", "aab-"),
        ("packed string", "1000000000(1000000000(1000000000(xyz)))\n2\n1000000000000000000 2\n", "xy"),
        ("packed string", "2(" * 400 + "q" + ")" * 400 + "\n1\n999999999999999999\n", "q"),
        ("different values", "3 2\n7 7 7\n", "-1"),
        ("different values", "4 1\n5 5 6 5\n", "1"),
        ("different values", "6 3\n1 2 2 3 3 2\n", "4"),
        ("bitwise XOR", "1\n0\n", "1"),
        ("bitwise XOR", "1\n1000000000000000000\n", "1"),
        ("bitwise XOR", "3\n1 1 1\n", "2"),
        ("one event at a time", "2\n0 1 5\n1 2 5\n", "10"),
        ("one event at a time", "3\n0 10 10\n0 5 6\n5 10 6\n", "12"),
        ("one event at a time", "1\n0 1 5\n", "5"),
    ],
)
def test_programs_are_right(words: str, given: str, expected: str) -> None:
    assert printed(program(the_one(words)), given) == [expected]
