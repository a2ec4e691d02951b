"""Words and word n-grams of a text, for comparing problems; typesetting does not count."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

import regex

_ASCII_WORD = re.compile(r"[^\W_]+")
# Scripts that put no space between words: East Asian signs, and letters of South-East Asia.
_SIGN = r"\p{Han}\p{Hiragana}\p{Katakana}"
_UNSPACED_LETTER = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_WORD = regex.compile(
    rf"[{_SIGN}] | [[{_UNSPACED_LETTER}]--\p{{P}}] | [\p{{L}}\p{{M}}\p{{N}}--[{_SIGN}{_UNSPACED_LETTER}]]++",
    regex.VERBOSE | regex.V1,
)
_ONE_SIGN, _ONE_LETTER = regex.compile(rf"[{_SIGN}]"), regex.compile(rf"[{_UNSPACED_LETTER}]")
_WORD_WEIGHS, _SIGN_WEIGHS, _LETTER_WEIGHS = 4, 2, 1


def words(text: str) -> list[str]:
    """Runs of letters and digits, in lower case; LaTeX's signs, punctuation and layout are dropped.

    Where a script puts no space between words, each character is one, of less weight: see `ngrams`. Wide and
    narrow forms of a character are the same.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    found: list[str] = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    return found


def ngrams(words: Sequence[str], length: float) -> Iterator[tuple[str, ...]]:
    """From every word on as many as amount to `length` words.

    An English word says about as much as two signs of Chinese or Japanese, or four letters of Thai, so 13
    words are 13 of English and 26 characters of Chinese.
    """
    if "".join(words).isascii():
        yield from zip(*(words[start:] for start in range(round(length))), strict=False)
        return
    weights = [_weight(word) for word in words]
    wanted, weight, end = _WORD_WEIGHS * length, 0, 0
    for start in range(len(words)):
        while weight < wanted:
            if end == len(words):
                return
            weight += weights[end]
            end += 1
        yield tuple(words[start:end])
        weight -= weights[start]


def amount(words: Sequence[str]) -> float:
    """How many words these say as much as."""
    return sum(map(_weight, words)) / _WORD_WEIGHS


def readable(words: Sequence[str]) -> str:
    """The words for people to read, those of scripts without spaces unspaced."""
    return " ".join(words) if any(_weight(word) == _WORD_WEIGHS for word in words) else "".join(words)


def _weight(word: str) -> int:
    if word.isascii() or len(word) > 1:
        return _WORD_WEIGHS
    if _ONE_SIGN.match(word):
        return _SIGN_WEIGHS
    return _LETTER_WEIGHS if _ONE_LETTER.match(word) else _WORD_WEIGHS
