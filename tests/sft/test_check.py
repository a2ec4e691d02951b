import pytest

from pipeline.sft.check import is_same


@pytest.mark.parametrize(
    ("answer", "expected", "same"),
    [
        ("So it is \\boxed{42}.", "\\boxed{42}", True),
        ("\\boxed{1} and then \\boxed{42}", "The answer: \\boxed{42}", True),
        ("It is 42.", "\\boxed{42}", False),
        ("3 1 4 ", "3 1 4", True),
        ("3 1 5 ", "3 1 4", False),
    ],
)
def test_answers_are_compared_by_what_they_box_or_word_by_word(answer, expected, same) -> None:
    assert is_same(answer, expected) == same
