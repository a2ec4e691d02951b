import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.segmentation.rule_tables import Behind, Rule, deciding
from tests.segmentation.test_cues import TABLES

RULES = [rule for table in TABLES for rule in table]


def name(rule: Rule) -> str:
    return rule.name


@pytest.mark.parametrize("rule", RULES, ids=name)
@given(data=st.data())
def test_a_table_holds_where_the_pattern_of_its_rule_matches(rule: Rule, data: st.DataObject) -> None:
    pattern = re.compile(rule.pattern, re.DOTALL)
    text = data.draw(st.from_regex(pattern, fullmatch=False) | st.text(max_size=30))
    held = deciding([rule], name)(text)
    assert held == (rule.name if pattern.match(text) else None)


def test_the_first_rule_that_holds_decides() -> None:
    decide = deciding(
        [Rule("a", 0, True, "x"), Rule("b", 0, True, "xy"), Rule("c", 0, True, "(?:y|z)")], name
    )
    assert [decide(text) for text in ("xy", "zy", "ax")] == ["a", "c", None]


def test_rules_behind_a_shared_pattern_look_at_what_follows_it() -> None:
    decide = deciding(
        [Behind("(?:so )*+", (Rule("a", 0, True, "x"), Behind("y", (Rule("b", 0, True, "z"),))))], name
    )
    assert [decide(text) for text in ("so so x", "so yz", "x", "yx", "z")] == ["a", "b", "a", None, None]


@pytest.mark.parametrize("letter", ["k", "K", "\N{KELVIN SIGN}", "s", "\N{LATIN SMALL LETTER LONG S}"])
def test_a_list_of_words_holds_in_every_case_that_the_pattern_knows(letter: str) -> None:
    rule = Rule("a", 0, True, "(?i:kind|step|task|part)")
    word = letter + ("ind" if re.match("(?i:k)", letter) else "tep")
    assert deciding([rule], name)(word) == "a"
