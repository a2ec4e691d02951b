"""Whether a text is English, by rules that mathematics and code do not disturb."""

import re


def why_not_english(text: str, utf8: bytes) -> str | None:
    """What shows that the text is not English, or None where nothing does.

    Two signs: letters of other scripts (Greek and the letters of mathematics are at home in English
    reasoning), and a long text almost without common English words. A text of symbols alone passes.
    utf8: the text, encoded.
    """
    foreign = 0 if text.isascii() else len(_OTHER_SCRIPTS.findall(_beyond_ascii(utf8)))
    if foreign > _MOST_FOREIGN * len(text):
        return f"{foreign} of {len(text)} characters are letters of another script"
    pieces = _sample(text).lower().split()
    common = sum(map(_COMMON.__contains__, pieces))
    if common >= _FEWEST_COMMON * len(pieces):
        return None
    # Formulas and code are not made of letters alone, so they count neither for nor against.
    words = sum(map(str.isalpha, pieces))
    if words >= _ENOUGH_WORDS and common < _FEWEST_COMMON * words:
        return f"{common} of {words} words are common English words"
    return None


_MOST_FOREIGN = 0.02
_ENOUGH_WORDS = 40
# Measured: 17 to 47 of 100 words in 197 real traces, 0 to 3 in other languages.
_FEWEST_COMMON = 0.08
_PARTS, _PART = 8, 400

# Cyrillic, Armenian, Hebrew, Arabic, the scripts of India and South-East Asia, Georgian, Hangul,
# Ethiopic, Khmer, Mongolian; then kana, Han, Hangul syllables, and the Han of the higher planes.
_OTHER_SCRIPTS = re.compile(
    "[\u0400-\u137f\u1780-\u18af\u3040-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua000-\ua4cf\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
# Frequent in English reasoning or in code, and hardly so in another large language of Latin letters.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """the and that this these those with which then but from are were have has had been what when where
        there their they it its not can could would should will let if just because since you your need
        first now next each both find given know think of wait check maybe actually does than how
        use using get see only other some more here for else while
        return int import""",
    )
)
_ASCII = bytes(range(128))


def _beyond_ascii(utf8: bytes) -> str:
    # Deleting bytes runs at memory speed; a regular expression over the whole text does not.
    return utf8.translate(None, _ASCII).decode("utf-8")


def _sample(text: str) -> str:
    """Some stretches spread evenly over the text, so that one long listing does not decide."""
    if len(text) <= _PARTS * _PART:
        return text
    step = (len(text) - _PART) // (_PARTS - 1)
    return " ".join(text[i * step : i * step + _PART] for i in range(_PARTS))
