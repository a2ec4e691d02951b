"""The language of a text for the card; mathematics and code tell nothing."""

import pytest

from pipeline.text.languages import language_of
from tests.ingest.test_language import OTHER_LANGUAGES

CODES = {"german": "de", "french": "fr", "spanish": "es", "dutch": "nl", "polish": "pl", "chinese": "zh"}
CODES |= {"russian": "ru", "arabic": "ar", "hindi": "hi", "korean": "ko", "japanese": "ja"}
FORMULA = r"\[ \sum_{n=1}^{10} \frac{1}{n^2} = x, \quad \alpha + \beta \leq \gamma \] "


@pytest.mark.parametrize(("language", "code"), CODES.items())
def test_a_language_is_known_also_between_formulas(language: str, code: str) -> None:
    text = OTHER_LANGUAGES[language]
    assert language_of(text) == code
    assert language_of(f"{FORMULA}{text} {text}{FORMULA}") == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("We look for the sum of all these numbers, and it is 12, so that must be the answer.", "en"),
        ("Die Zahl 数 heißt auf Chinesisch so, und das ist nicht die Summe, also ist es die andere.", "de"),
        ("Нам треба знайти число, що ділиться на всі числа, і це не один.", "uk"),
        ("ما باید عددی را پیدا کنیم که بر همه این عددها بخش پذیر است.", "fa"),
        (FORMULA * 5, None),
        ("x = f(y)\nreturn x + 1\n" * 20, None),
        ("", None),
    ],
)
def test_scripts_that_several_languages_share_are_told_by_their_common_words(text: str, code: str) -> None:
    assert language_of(text) == code
