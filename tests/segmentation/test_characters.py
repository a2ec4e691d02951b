"""The sets of characters that the rules ask for are those of Python, for every character of Unicode."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.segmentation.characters import DECIMAL, DIGIT, LETTER, SPACE, WORD, character_sets, codes_of

EVERY_CHARACTER = "".join(map(chr, range(0x110000)))


@pytest.mark.parametrize(
    ("named", "is_member"),
    [
        (SPACE, re.compile(r"\s").match),
        (SPACE, str.isspace),
        (WORD, re.compile(r"\w").match),
        (DECIMAL, re.compile(r"\d").match),
        (DIGIT, str.isdigit),
        (LETTER, str.isalpha),
    ],
)
def test_a_set_has_the_characters_that_python_says(named: int, is_member: Callable[[str], object]) -> None:
    members = np.array([bool(is_member(character)) for character in EVERY_CHARACTER])
    assert ((character_sets() & named != 0) == members).all()


def test_a_text_is_as_many_codes_as_it_has_characters() -> None:
    assert codes_of(EVERY_CHARACTER).tolist() == list(range(0x110000))
