import itertools
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.segmentation.score import rules
from pipeline.segmentation.score.cues import Cue, score_boundaries
from pipeline.segmentation.score.matching import first_match
from pipeline.segmentation.score.rules import Rule

TABLES: list[tuple[Rule, ...]] = [
    table for table in vars(rules).values() if isinstance(table, tuple) and isinstance(table[0], Rule)
]
PLAIN = "The two triangles have a common side.\n\n"


# What the rules look for, put together at random.
PARTS = """wait|But |so |far|Okay, |let me
 |I should |just |check|verify |To |Maybe |another |way |Case |A|1|=|
 |?|: |Step 2|answer is |12|✓|correct|.|So |the |code|Alternatively|no|e|* |#|**|\n|!|Hmm"""


def cues_of(sentences: Sequence[str]) -> list[Cue]:
    cues = score_boundaries("".join(sentences), list(itertools.accumulate(map(len, sentences))))
    return [Cue(*found) for found in zip(*(column.tolist() for column in cues), strict=True)]


def cue(before: str, after: str) -> Cue:
    (only,) = cues_of([before, after])
    return only


@given(st.lists(st.text(min_size=1)))
def test_every_boundary_has_one_cue_between_0_and_3(sentences: list[str]) -> None:
    found = cues_of(sentences)
    assert len(found) == max(0, len(sentences) - 1)
    assert all(0 <= each.score <= 3 for each in found)


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ("The positions are as follows:\n\n", "The first one is Ana.", "colon"),
        ("We find that 3x + 2 =\n", "The right side is 8.", "operator"),
        ("Let me check whether that works.\n\n", "For n = 3 we get 12.", "announcement"),
        ("Okay, so I need to find the area.\n\n", "The base is 4.", "announcement"),
        ("Suppose Ana is in position 4.\n\n", "Dan is in position 5, and Ben in 1.", "assumption"),
        ("Wait, is that right?\n\n", "Ana was in position 1 before.", "doubt_raised"),
        ("The sum is 3 + 4\n", "≈ 7.1 by the second estimate.", "relation"),
        (PLAIN, "Then the angles are equal.", "continuation"),
        (PLAIN, "So the angles are equal.", "consequence"),
        (PLAIN, "That means the angles are equal.", "pronoun"),
        ("i=1: the sum is 1, and we go on.\n\n", "i=2: the sum is 3, and we go on.", "execution_step"),
        ("Step 1: fill the big jug. (0, 5)\n", "Step 2: pour it over. (3, 2)", "execution_step"),
    ],
)
def test_a_thought_is_surely_not_interrupted(before: str, after: str, rule: str) -> None:
    found = cue(before, after)
    assert (found.rule, found.sure) == (rule, True)
    assert found.score < 1


@pytest.mark.parametrize(
    ("after", "rule"),
    [
        ("## Second part\n", "heading"),
        ("**Final Answer**\n\nIt is 12.", "heading"),
        ("Final answer: 12.", "final_answer"),
        ("In summary, both conditions hold.", "final_answer"),
        ("Let me summarize what we know.", "restatement"),
        ("Okay, so far we have two equations.", "restatement"),
        ("Hmm, let me start over.", "restart"),
        ("Wait, I should rethink this.", "restart"),
        ("Alternatively, we could count the complement.", "new_approach"),
        ("Another way is to count the complement.", "new_approach"),
        ("Let me try a different approach.", "new_approach"),
        ("Maybe there is a better way.", "new_approach"),
        ("Let me double-check the second case.", "verification"),
        ("Wait, let me verify that with n = 3.", "verification"),
        ("But let's check the other condition, too.", "verification"),
        ("Case 2: n is odd.", "case_split"),
        ("Moving on to the last condition.", "next_stage"),
    ],
)
def test_a_new_chapter_surely_begins(after: str, rule: str) -> None:
    found = cue(PLAIN, after)
    assert (found.rule, found.sure) == (rule, True)
    assert found.score >= 2


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        (PLAIN, "Triangle ABC has the base 4.", "paragraph"),
        ("So the answer is 12.\n\n", "Triangle ABC has the base 4.", "result_reached"),
        ("Can the base be 4?\n\n", "Triangle ABC has the base 5.", "question"),
        ("The loop goes on\n\n", "until the list is empty.", "small_letter"),
        (PLAIN, "Wait, the base is 4.", "doubt"),
        (PLAIN, "But the base is 4.", "objection"),
        (PLAIN, "Let me take the base as 4.", "plan"),
        (PLAIN, "Similarly, the base of the other is 5.", "parallel"),
        (PLAIN, "Sanity check with n = 1: both sides are 2.", "check"),
        (PLAIN, "So the answer is 12.", "answer"),
        (PLAIN, "Code:\n\n```\nprint(1)\n```", "work_begins"),
        (PLAIN, "What happens if the base is 4?", "new_question"),
        (PLAIN, "So now the second condition.", "stage"),
        (PLAIN, "Let h be the height of the triangle.", "definition"),
        ("The area is then\n\n12 · 4 / 2\n\n", "Triangle ABC has the base 4.", "no_full_stop"),
        ("Alternatively, it is a lie.\n\n", "Alternatively, it is a promise.", "another_guess"),
        ("Option A: it is a lie.\n\n", "Option B: it is a promise.", "another_case"),
    ],
)
def test_what_rules_cannot_tell_is_left_to_the_model(before: str, after: str, rule: str) -> None:
    found = cue(before, after)
    assert (found.rule, found.sure) == (rule, False)


def test_a_result_before_it_makes_an_opening_better() -> None:
    opening = "Alternatively, we could count the complement."
    assert cue("So the answer is 12.\n\n", opening).score > cue(PLAIN, opening).score


def test_a_step_that_ended_well_makes_a_doubt_a_good_cut() -> None:
    assert cue("All ≤ 1000 ✓.\n\n", "Wait, the base is 4.").score == 2
    assert cue(PLAIN, "Wait, the base is 4.").score < 2


def test_a_question_about_what_was_just_said_opens_nothing() -> None:
    assert cue(PLAIN, "Is that right?").rule == "paragraph"


def test_an_opening_within_a_paragraph_counts_less_and_is_not_sure() -> None:
    opening = "Alternatively, we could count the complement."
    within = cue("The two triangles have a common side. ", opening)
    assert within.score < cue(PLAIN, opening).score
    assert not within.sure


def test_the_middle_of_a_paragraph_is_no_place_to_cut() -> None:
    found = cue("The two triangles have a common side. ", "Triangle ABC has the base 4.")
    assert found == Cue(0.5, "same_paragraph", True)


def test_an_announcement_before_a_full_stop_is_not_the_clause_before_the_boundary() -> None:
    done = "Let me check n = 3. The left side is 12 and the right side is 12.\n\n"
    assert cue(done, "Triangle ABC has the base 4.").rule != "announcement"


def test_rules_have_sensible_scores_and_one_decision_per_name() -> None:
    every = list(itertools.chain.from_iterable(TABLES))
    assert all(0 <= rule.score <= 3 for rule in every)
    assert len({rule.name for rule in every}) == len({(rule.name, rule.score) for rule in every})


@given(st.lists(st.sampled_from(PARTS.split("|")), max_size=12).map("".join))
def test_all_rules_in_one_pattern_decide_as_one_after_the_other(text: str) -> None:
    for table in TABLES:
        held = (rule for rule in table if re.match("".join((*rule.behind, rule.pattern)), text, re.DOTALL))
        assert first_match(table)(text) is next(held, None)


def test_long_sentences_are_read_at_their_edges_only() -> None:
    long = "word " * 200_000
    assert cue(f"{long}:\n\n", "Alternatively, we go").rule == "colon"
    assert cue("We go:\n\n", f"Alternatively, {long}").rule == "colon"
    assert cue(f"{long}.\n\n", f"Alternatively, {long}").rule == "new_approach"


def test_parts_of_something_large_can_be_cut_apart_and_prose_is_not_touched() -> None:
    text = "The list is " + "12,250, " * 600 + "and so on."
    ends = [1_000, 2_000, 3_000, len(text) - 60, len(text)]
    cues = score_boundaries(text, ends)
    assert [(score, rule) for score, rule in zip(cues.scores, cues.rules, strict=True)][:3] == [
        (1.0, "within_something_large")
    ] * 3
    assert cues.scores[3] == 0.5  # the last sentence is short
    assert score_boundaries(text, [899, 1_799, len(text)]).rules[0] != "within_something_large"
    assert all(cues.sure)
