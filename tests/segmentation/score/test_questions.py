"""Windows of boundaries: every asked boundary in one of them, inside the text, over a shared beginning."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.segmentation.score.questions import Places

SIZES = st.integers(1, 16)
LIMITS = st.integers(128, 2_000)


@st.composite
def traces(draw: st.DrawFn) -> tuple[Places, list[int]]:
    """A trace with numbered sentences of different sizes, and the boundaries asked about."""
    tokens = draw(st.lists(st.integers(1, 300), min_size=2, max_size=60))
    sentences = [f"Sentence {n} has words. " + "word " * size for n, size in enumerate(tokens)]
    asked = draw(st.sets(st.integers(0, len(tokens) - 2), min_size=1))
    ends = [sum(map(len, sentences[: n + 1])) for n in range(len(sentences))]
    row: dict[str, Any] = {"reasoning": "".join(sentences), "sentence_ends": ends, "sentence_tokens": tokens}
    return Places.of(row), sorted(asked)


@given(traces(), SIZES, LIMITS)
def test_every_asked_boundary_is_in_exactly_one_window(
    trace: tuple[Places, list[int]], size: int, limit: int
) -> None:
    places, asked = trace
    windows = places.windows(asked, size, limit)
    assert [boundary for window in windows for boundary in window] == asked
    assert all(len(window) <= size for window in windows)
    assert all(len(window) == 1 or places.span(window) <= limit // 2 for window in windows)


@given(traces(), st.integers(2, 16), LIMITS)
def test_all_places_of_a_window_stand_inside_the_text_shown(
    trace: tuple[Places, list[int]], size: int, limit: int
) -> None:
    places, asked = trace
    for window in places.windows(asked, size, limit):
        question = places.question(window, size, limit)
        told = question.values["places"]
        assert [label for label, _ in told] == [chr(ord("A") + n) for n in range(len(window))]
        words = " ".join(question.shown.split())
        for boundary, (_, following) in zip(window, told, strict=True):
            assert f"Sentence {boundary + 1} has" in following
            assert following in words
        assert places.sentences[window[0]] in question.shown


@given(traces(), SIZES, LIMITS)
def test_questions_that_start_alike_extend_each_other(
    trace: tuple[Places, list[int]], size: int, limit: int
) -> None:
    places, asked = trace
    questions = [places.question(window, size, limit) for window in places.windows(asked, size, limit)]
    for before, after in pairwise(questions):
        assert before.start <= after.start
        if before.start == after.start:
            assert after.shown.startswith(before.shown)
