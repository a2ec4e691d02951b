"""Words and word n-grams of a text, for comparing problems; typesetting does not count."""

import re
from collections.abc import Iterator, Sequence

_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Runs of letters and digits, in lower case; LaTeX's signs, punctuation and layout are dropped."""
    return _WORD.findall(text.lower())


def ngrams(words: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    """Every `length` consecutive words."""
    return zip(*(words[start:] for start in range(length)), strict=False)
