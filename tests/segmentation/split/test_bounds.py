"""No sentence has more tokens than a bound, and what is cut for that is cut where it hurts least."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.segmentation.split.bounds import bounded
from pipeline.segmentation.split.sentences import split
from pipeline.text.pieces import cut
from pipeline.text.tokens import piece_counter, token_counter

COUNT = piece_counter("cl100k_base")
HUGE = {
    "program": "```python\n" + "def step(x):\n    y = x + 1\n\n    return y\n\n\n" * 60 + "```",
    "program of one function": "```c\n" + "  total += values[i++];\n" * 150 + "```",
    "table": "| n | square |\n|---|---|\n" + "".join(f"| {n} | {n * n} |\n" for n in range(120)),
    "formula": "$$" + "".join(rf"a_{{{n}}} = b + {n} \\ " for n in range(120)) + "$$",
    "matrix": "\\begin{pmatrix}" + "".join(f"{n} & {n + 1} \\\\\n" for n in range(200)) + "\\end{pmatrix}",
    "list of numbers": "The list is " + ", ".join(f"{n},250" for n in range(2000, 2300)) + " as said.",
    "words": "and so on " * 300,
    "digits": "3." + "14159" * 300,
    "one letter": "a" * 9_000,
    "emoji": "👩🏽‍🚀" * 200,
    "accents on a letter": "o" + "\u0301" * 2_000,
    "white space": "It is.\n" + " \t\n" * 1_000 + "There it is.",
    "Chinese without a stop": "先把两个数加起来再除以四然后看余数" * 40,
}


def parts(text: str, most: int = 100) -> list[str]:
    return cut(text, bounded(text, split(text), COUNT, most)[0])


@pytest.mark.parametrize("huge", HUGE.values(), ids=HUGE)
def test_no_sentence_has_more_tokens_than_the_bound_and_none_is_lost(huge: str) -> None:
    text = f"We begin with a sentence of prose. {huge}\n\nThe whole of it ends with another one."
    ends, tokens = bounded(text, split(text), COUNT, 100)
    assert "".join(cut(text, ends)) == text
    assert tokens.tolist() == COUNT(text, ends).tolist()
    assert max(tokens) <= 100
    assert len(ends) < 2.5 * sum(token_counter("cl100k_base")([text])) / 100 + 3


@given(
    st.lists(st.sampled_from([*HUGE.values(), "A sentence of prose. ", "\r", " ", "e", "\u0301"])).map(
        "".join
    )
)
def test_any_text_is_within_the_bound_and_concatenates(text: str) -> None:
    ends, tokens = bounded(text, split(text), COUNT, 50)
    assert "".join(cut(text, ends)) == text
    assert not len(tokens) or max(tokens) <= 50


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("program", "\n\n\n"),
        ("program of one function", ";\n"),
        ("table", " |\n"),
        ("formula", "\\\\ "),
        ("matrix", "\\\\\n"),
        ("list of numbers", ", "),
        ("words", " "),
    ],
)
def test_a_part_ends_at_a_function_a_line_a_row_a_comma_or_a_word(kind: str, end: str) -> None:
    inner = parts(HUGE[kind])[:-1]
    assert len(inner) >= 3
    assert all(part.removesuffix("  ").endswith(end) for part in inner)
    assert not any(part.strip() in ("", "```python") for part in inner)


def test_a_line_s_end_of_any_kind_ends_a_part() -> None:
    code = "```\n" + "x += 1;\u2028" * 150 + "```"
    assert all(part.endswith("\u2028") for part in parts(code)[:-1])


def test_parts_are_of_about_equal_size() -> None:
    sizes = [len(part) for part in parts("and so on " * 34 + ".")]  # 103 tokens
    assert len(sizes) == 2
    assert max(sizes) < 1.2 * min(sizes)


def test_what_people_see_as_one_character_is_only_cut_where_it_is_larger_than_the_bound() -> None:
    assert all(len(part) % len("👩🏽‍🚀") == 0 for part in parts(HUGE["emoji"]))
    assert len(parts(HUGE["accents on a letter"])) > 1


def test_sentences_within_the_bound_stay_as_they_are() -> None:
    text = HUGE["program"] + "\n\n" + "The first comes here. The second one follows. " * 20
    ends = split(text)
    assert bounded(text, ends, COUNT, 10_000)[0] == ends
    assert bounded(text, ends, COUNT, 100)[0][-40:] == ends[-40:]


@pytest.mark.parametrize(
    "unit", ["\n", " ", "a", ", ", ".\n", "\n \n", "\\\\", "\u0301", "```\nx\n```\n\n", "1,", "।"]
)
def test_time_is_linear_in_the_text(unit: str) -> None:
    def seconds(size: int) -> float:
        text = "$$" + unit * (size // len(unit)) + "$$"
        best = float("inf")
        for _ in range(2):
            start = time.process_time()
            bounded(text, [len(text)], COUNT, 50)
            best = min(best, time.process_time() - start)
        return best

    # Eight times the text: eight times the time if linear, sixty-four times if quadratic.
    assert seconds(160_000) < 30 * max(seconds(20_000), 0.002)
