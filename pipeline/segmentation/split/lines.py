"""What a line or a piece of one looks like: prose, an item of a list, code, a row of a table."""

import re

import regex

LIST_MARKER = r"(?:[-*+•–]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.):])[ \t]+(?=\S)"
PROSE = r"[A-Z][\w'’]*,?(?:[ ][a-z'’]+){2}"


def ends_sentence(character: str) -> bool:
    """Whether it is a stop of some script (Unicode's Sentence_Terminal); "" is none."""
    return character in _LATIN_STOPS or _STOP.match(character) is not None


def begins_as_prose(text: str, start: int) -> bool:
    """Whether a capitalised word and two small ones stand at `start`."""
    return _PROSE.match(text, start) is not None


def is_whole(text: str, start: int) -> bool:
    """Whether no full stop in the line ends a sentence: it is a table row or code.

    start: of the line's text, its indentation left out.
    """
    if begins_as_prose(text, start):
        return False
    end = text.find("\n", start)
    line = text[start : end if end >= 0 else len(text)].rstrip()
    if line.startswith("|") or is_comment(line) or is_code(line) or is_row(line):
        return True
    if _LIST_MARKER.match(text, start):
        return False
    indent = len(text[text.rfind("\n", 0, start) + 1 : start].expandtabs(4))
    return indent >= 4 or (indent >= 2 and not (ends_sentence(line[-1:]) or line.endswith("…")))


def is_comment(line: str) -> bool:
    return line.startswith(("//", "/*", "# "))


def is_code(line: str) -> bool:
    """Whether the line is a comment, a tag, or ends as a statement does; without white space around it."""
    if line.startswith(("//", "/*", "{%")) or line.endswith("{"):
        return True
    if line.endswith(">") and _TAG.match(line):
        return True
    return line.endswith(("}", ";")) and "\\" not in line and not _WORDS.match(line)


def is_row(line: str) -> bool:
    """Whether the line has three cells, as a row of a table whose lines begin without a bar."""
    return len(line) <= _LONGEST_ROW and line.count(" | ") >= 2


def is_equation(piece: str) -> bool:
    """Whether it has an equals sign and no words.

    Symbols, LaTeX commands, names of one or two letters, and functions are none.
    """
    return "=" in piece and _EQUATION.fullmatch(piece) is not None


_LATIN_STOPS = frozenset(".!?")
_STOP = regex.compile(r"\p{Sentence_Terminal}")
_LIST_MARKER = re.compile(LIST_MARKER)
_PROSE = re.compile(PROSE)
_TAG = re.compile(r"</?[A-Za-z!]")
_WORDS = re.compile(r"[A-Za-z'’]+,?(?: [a-z'’]+,?){2}")
_EQUATION = re.compile(
    r"(?:[^A-Za-z\\]++|\\[A-Za-z]*+|[A-Za-z]{1,2}(?![A-Za-z])"
    r"|(?:sin|cos|tan|log|mod|gcd|lcm|max|min|exp)\b)++"
)
# Longer lines speak of "3 | n" and "P(A | B)".
_LONGEST_ROW = 200
