import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.segmentation.automaton import Automaton, automaton, first_match
from pipeline.segmentation.characters import codes_of
from pipeline.segmentation.cues import TABLES
from pipeline.segmentation.rules import Rule

RULES = [rule for table in TABLES.values() for rule in table]
NAMED = "".join(sorted({character for rule in RULES for character in rule.pattern}))
# What the rules do not have, or seldom.
OTHER_PATTERNS = [
    r"ab{2,3}c",
    r"(?:a{1,2}b|ab{2})+c$",
    r".*\bx\b",
    r"\b(?:\W|x)\b.",
    r"(?:so(?! x)\b ?)*+(?=[^y]*z)\w",
    r"(?:x|\by){2}",
    r"[^a-c\d]\s*$",
    r"(?i:[^a-c]k)s",
    r"a?+ab?+\b",
    r"(?:–|…|é)+[^é\W]",
]


@cache
def of_one(pattern: str) -> Automaton:
    return automaton([[pattern]])


def first(automata: Automaton, table: int, text: str) -> int:
    return first_match(automata, table, codes_of(text), 0, len(text))


def name(rule: Rule) -> str:
    return rule.name


def agrees_with_re(pattern: str, data: st.DataObject) -> None:
    compiled = re.compile(pattern, re.DOTALL)
    near = st.from_regex(compiled, fullmatch=False)
    text = data.draw(
        near
        | st.text(max_size=30)
        | st.text("abcksxyz éÉ–…1٣\n☺" + NAMED, max_size=30)
        | st.tuples(near, st.integers(0, 40), st.text(NAMED, max_size=3), near).map(
            lambda parts: parts[0][: parts[1]] + parts[2] + parts[3]
        )
    )
    assert first(of_one(pattern), 0, text) == bool(compiled.match(text))


@pytest.mark.parametrize("rule", RULES, ids=name)
@given(data=st.data())
def test_a_rule_holds_where_its_pattern_matches(rule: Rule, data: st.DataObject) -> None:
    agrees_with_re(rule.pattern, data)


@pytest.mark.parametrize("pattern", OTHER_PATTERNS)
@given(data=st.data())
def test_an_automaton_holds_where_its_pattern_matches(pattern: str, data: st.DataObject) -> None:
    agrees_with_re(pattern, data)


def test_the_first_pattern_of_a_table_that_matches_is_found() -> None:
    automata = automaton([["x", "xy", "(?:y|z)"], ["xy$", "x"]])
    assert [first(automata, 0, text) for text in ("xy", "zy", "ax", "")] == [1, 3, 0, 0]
    assert [first(automata, 1, text) for text in ("xy", "xyz", "y")] == [4, 5, 0]


def test_only_what_stands_between_two_places_is_read() -> None:
    automata = automaton([[r"b\b.*c$"]])
    text = codes_of("abcb c.")
    assert [first_match(automata, 0, text, 3, end) for end in (6, 7, 5)] == [1, 0, 0]
    assert first_match(automata, 0, text, 1, 6) == 0


@pytest.mark.parametrize(
    "letter", ["k", "K", "\N{KELVIN SIGN}", "s", "\N{LATIN SMALL LETTER LONG S}", "ı", "İ"]
)
def test_letters_in_any_case_are_those_of_re(letter: str) -> None:
    for pattern in ("(?i:k)", "(?i:[p-s])", "(?i:[^i])", "(?i:[A-K])"):
        assert first(of_one(pattern), 0, letter) == bool(re.match(pattern, letter))


def test_patterns_that_name_too_many_characters_are_refused() -> None:
    with pytest.raises(ValueError, match="252 at most"):
        automaton([["".join(map(chr, range(0x400, 0x500)))]])


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?<=a)b",
        r"(a)\1",
        r"(?>ab|a)c",
        r"^a",
        r"[à-ü]",
        r"(?i:é)",
        r"(?:a*)*b",
        r"(?:(?=a)|b)*a",
        r"(?i)ab",
        r"(?m)a$",
        r"\u2014",
        r"[^\xaa]",
        "(",
    ],
)
def test_a_pattern_that_no_automaton_is_made_of_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="a pattern "):
        automaton([[pattern]])
