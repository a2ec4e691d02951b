"""Errors of one kind are counted together, whatever numbers and names stand in them."""

import pytest

from pipeline.run.outcomes import by_kind, most_often


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cut in each of 3 replies", "cut in each of 2 replies"),
        ("429 slow down, wait 1.5 s", "429 slow down, wait 20 s"),
        ("no answer (http://gpu1:8000/v1: 503 Loading)", "no answer (http://gpu2:8000/v1: 503 Loading)"),
        ("refused (request req-1f2e)", "refused (request req-77ab)"),
        ("503 Loading\n  see llm.endpoints 1", "503 Loading\n  see llm.endpoints 2"),
    ],
)
def test_errors_that_differ_by_numbers_and_ids_are_of_one_kind(one: str, other: str) -> None:
    assert by_kind({one: 2, other: 1}) == {one: 3}
    assert by_kind({one: 1, other: 2}) == {other: 3}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("500 error", "503 error"),
        ("no answer (500 error)", "no answer (503 error)"),
        ("http://a1/v1: 429, wait 3 s", "http://a1/v1: 500, wait 3 s"),
        ("a refusal", "an empty reply"),
    ],
)
def test_words_and_the_status_tell_kinds_apart(one: str, other: str) -> None:
    assert by_kind({one: 2, other: 1}) == {one: 2, other: 1}


def test_the_commonest_kind_is_told_in_a_line_with_how_often_it_happened() -> None:
    errors = {"a refusal": 3, "no reply in 1 s\n  start it": 1, "no reply in 2 s\n  start it": 3}
    assert most_often(errors) == "most often: no reply in 2 s; start it (4 times)"
    assert most_often({"a refusal": 1}) == "most often: a refusal (1 time)"
