import pytest

from pipeline.verdicts import Agreement, Opinion, agreement, agreement_of, put, read_verdicts
from tests.verdicts.runs import judged_run, reworded, verdict, verdict_on


def test_counts_are_those_of_judge_and_person():
    given = [
        verdict("a", 0, Opinion.GOOD, passed=True),
        verdict("a", 1, Opinion.GOOD, passed=True),
        verdict("a", 2, Opinion.BAD, passed=True),
        verdict("a", 3, Opinion.GOOD, passed=False),
        verdict("a", 4, Opinion.BAD, passed=False),
        verdict("a", 5, Opinion.BAD, passed=False),
        verdict("a", 6, Opinion.BAD, passed=False),
    ]
    assert agreement(given, {one.key: one.passed for one in given}) == Agreement(2, 1, 1, 3, 0)


def test_what_counts_is_whether_a_memento_passes_now():
    given = [verdict("a", 0, Opinion.GOOD, passed=True), verdict("a", 1, Opinion.BAD, passed=True)]
    assert agreement(given, {one.key: False for one in given}) == Agreement(short_good=1, short_bad=1)


def test_a_verdict_about_a_text_that_is_gone_is_outdated_and_counts_nowhere_else():
    given = [verdict("a", 0), verdict("a", 1, Opinion.BAD)]
    assert agreement(given, {given[0].key: True}) == Agreement(passed_good=1, outdated=1)


def test_share_and_kappa_are_those_computed_by_hand():
    # The textbook's 50 grant applications: 0.7 observed, 0.5 × 0.6 + 0.5 × 0.4 = 0.5 by chance.
    found = Agreement(passed_good=20, passed_bad=5, short_good=10, short_bad=15)
    assert found.share == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)
    # 6 of 7; by chance (3 × 2 + 4 × 5) / 49; (42 − 26) / (49 − 26).
    assert Agreement(2, 1, 0, 4).kappa == pytest.approx(16 / 23)


def test_full_agreement_is_one_chance_is_nothing_and_opposition_is_minus_one():
    assert Agreement(passed_good=3, short_bad=2).kappa == 1
    assert Agreement(4, 4, 4, 4).kappa == 0
    assert Agreement(passed_bad=5, short_good=5).kappa == -1


def test_kappa_is_not_defined_where_both_only_said_one_thing():
    assert Agreement(passed_good=9).kappa is None
    assert Agreement(short_bad=9).kappa is None
    # One of them said both things: chance explains all of it.
    assert Agreement(passed_good=9, passed_bad=1).kappa == 0


def test_nothing_counted_has_neither_share_nor_kappa():
    found = Agreement(outdated=3)
    assert (found.share, found.kappa, found.counted) == (None, None, 0)


def test_json_has_counts_share_and_kappa():
    assert Agreement(1, 0, 0, 1, 2).as_json() == {
        "passed_good": 1,
        "passed_bad": 0,
        "short_good": 0,
        "short_bad": 1,
        "outdated": 2,
        "counted": 2,
        "share": 1.0,
        "kappa": 1.0,
    }


def test_a_run_that_is_built_again_makes_verdicts_on_changed_texts_outdated(tmp_path):
    run = judged_run(tmp_path / "run")
    put(run, verdict_on(run, 0, Opinion.GOOD))
    put(run, verdict_on(run, 1, Opinion.BAD))
    put(run, verdict("no-such-trace", 0))
    assert agreement_of(run, read_verdicts(run)) == Agreement(passed_good=1, short_bad=1, outdated=1)
    reworded(run, 1, "Now it says 13.")
    assert agreement_of(run, read_verdicts(run)) == Agreement(passed_good=1, outdated=2)


def test_a_run_without_verdicts_has_nothing_to_count(tmp_path):
    assert agreement_of(judged_run(tmp_path / "run"), []) == Agreement()
