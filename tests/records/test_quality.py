"""Traces that are left out for what the judge and the checks say of their mementos."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import BuildConfig, MementosConfig, PublishConfig
from pipeline.mementos.judgement import Judgement
from pipeline.mementos.refine import Round
from pipeline.records.checks import MEMENTO_CHECKS, Finding, Severity, passes
from pipeline.records.quality import Quality, shortfalls, wanted_quality
from pipeline.records.records import RECORDS
from pipeline.run.outcomes import QUALITY_REASONS, RejectReason
from pipeline.run.store import config_digest
from tests.records.rows import memento, row, table
from tests.through_stages import through


def scored(trace_id: str, *scores: int, checks: tuple[str, ...] = ()) -> dict[str, Any]:
    """A row of one block per score; the checks found something in the last one's memento."""
    mementos = [memento("It is 42.", [score]) for score in scores[:-1]]
    mementos.append(memento("It is 42.", [scores[-1]], checks))
    blocks = [(f"Twelve and thirty make {number} and forty-two. ",) for number in range(len(scores))]
    return row(trace_id, blocks=blocks, mementos=mementos)


def left_out(*rows: dict[str, Any], **publish: Any) -> dict[str, str]:
    result = through(RECORDS, table(*rows), publish=publish)
    assert result.done.num_rows + result.rejected.num_rows == len(rows)
    return {one["trace_id"]: one["reason"] for one in result.rejected.to_pylist()}


def test_the_smallest_score_of_a_trace_decides() -> None:
    rows = [scored("all", 7, 9), scored("one", 9, 6), scored("just", 7, 7)]
    assert left_out(*rows, min_score=7) == {"one": "low_score"}
    assert left_out(scored("zero", 0), min_score=0) == {}


def test_a_block_longer_than_wanted_leaves_its_trace_out_and_is_named() -> None:
    rows = [row("within", block_tokens=[70, 90]), row("beyond", block_tokens=[60, 91])]
    assert left_out(*rows, max_block_tokens=90) == {"beyond": "block_too_long"}
    assert left_out(*rows) == left_out(*rows, max_block_tokens=91) == {}
    (rejected,) = through(RECORDS, table(*rows), publish={"max_block_tokens": 90}).rejected.to_pylist()
    assert rejected["detail"] == "block 1 has 91 tokens"


def test_the_score_is_that_of_the_round_that_was_kept() -> None:
    better = row("better", mementos=[memento("It is 42.", [2, 9]), memento("It is 42.", [8, 1])])
    assert left_out(better, min_score=8, only_passed=True) == {}


def test_only_passed_wants_points_and_clean_checks_of_every_memento() -> None:
    rows = [
        scored("passed", 8, 10, 9),
        scored("points", 8, 7, 10),
        scored("checks", 10, 10, checks=("heading",)),
        scored("note", 10, 8, checks=("planning",)),
    ]
    assert left_out(*rows, only_passed=True) == {"points": "not_passed", "checks": "not_passed"}


def test_what_nobody_has_judged_is_good_enough_only_where_nothing_is_asked_for() -> None:
    kept = memento("It is 42.", [9])
    not_judged = {"score": None, "rubric": None, "verdict_totals": []}
    rounds = [one | not_judged for one in kept["rounds"]]
    made = row("computed", mementos=[kept | {"score": None, "rounds": rounds}] * 2)
    assert left_out(made) == {}
    assert left_out(made, min_score=1) == {"computed": "low_score"}
    assert left_out(made, only_passed=True) == {"computed": "not_passed"}
    result = through(RECORDS, table(made), publish={"min_score": 1}).rejected.to_pylist()
    assert "block 0: not judged" in result[0]["detail"]


def test_a_trace_that_both_leave_out_counts_once_under_its_points() -> None:
    rows = [scored("both", 3, 9), scored("threshold", 7, 9)]
    found = left_out(*rows, min_score=5, only_passed=True)
    assert found == {"both": "low_score", "threshold": "not_passed"}


def test_a_record_that_fails_a_check_is_told_so_whatever_its_points() -> None:
    broken = scored("broken", 3) | {"answer": "<think>"}
    assert left_out(broken, min_score=9) == {"broken": "check_failed"}


def test_the_detail_names_the_block_its_points_and_what_is_missing() -> None:
    worst = memento("It is 42.", [4], ["heading"])
    worst["rounds"][0]["missing"] = ["the sum\n12 + 30"]
    low = row("low", mementos=[memento("It is 42.", [6]), worst])
    (rejected,) = through(RECORDS, table(low), publish={"min_score": 7}).rejected.to_pylist()
    told = "2 of 2 mementos; block 1: 4 of 10 points; the sum 12 + 30; check heading"
    assert (rejected["stage"], rejected["detail"]) == ("records", told)


def test_only_what_is_published_is_counted() -> None:
    rows = [scored("good", 9, 9), scored("low", 9, 1, checks=("planning",))]
    counters = through(RECORDS, table(*rows), publish={"min_score": 8}).counters
    assert counters["blocks"] == 2
    assert "check.planning" not in counters


def config(**publish: Any) -> Any:
    build = BuildConfig(name="n", publish=PublishConfig(**publish), mementos=MementosConfig(threshold=6))
    return config_digest(RECORDS.config(build))


def test_defaults_change_no_result_and_each_filter_does() -> None:
    assert config() == config_digest({}) == config(min_score=0, only_passed=False)
    filters = ({}, {"min_score": 6}, {"only_passed": True}, {"min_score": 5}, {"max_block_tokens": 900})
    assert len({config(**one) for one in filters}) == len(filters)


def test_only_passed_means_the_threshold_that_mementos_were_written_for() -> None:
    build = BuildConfig(name="n", publish={"only_passed": True}, mementos={"threshold": 6})
    assert wanted_quality(build) == Quality(min_score=0, threshold=6)


@pytest.mark.parametrize("score", [-1, 11])
def test_points_that_no_judge_can_give_are_refused(score: int) -> None:
    with pytest.raises(ValueError, match="min_score"):
        PublishConfig(min_score=score)


def test_the_reasons_have_words_that_name_the_keys() -> None:
    assert {
        RejectReason.LOW_SCORE,
        RejectReason.NOT_PASSED,
        RejectReason.NOT_SUFFICIENT,
        RejectReason.BLOCK_TOO_LONG,
    } == QUALITY_REASONS
    assert "publish.max_block_tokens" in RejectReason.BLOCK_TOO_LONG.text
    assert "publish.min_score" in RejectReason.LOW_SCORE.text
    assert "publish.only_passed" in RejectReason.NOT_PASSED.text
    assert "publish.only_sufficient" in RejectReason.NOT_SUFFICIENT.text


FINDINGS = [Finding(check.name, check.severity, "…") for check in MEMENTO_CHECKS]


@given(st.integers(0, 10), st.integers(0, 10), st.lists(st.sampled_from(FINDINGS), max_size=3))
def test_a_row_passes_where_its_round_did(points: int, threshold: int, findings: list[Finding]) -> None:
    one = Round("text", 3, findings, Judgement({"formulas": points}, [], [points]))
    clean = all(finding.severity is Severity.NOTE for finding in findings)
    assert one.passes(threshold) == (points >= threshold and clean)
    names = one.as_row()["checks"]
    assert one.passes(threshold) == passes(points, names, threshold)
    kept = {"text": "text", "tokens": 3, "score": points, "best_round": 0, "rounds": [one.as_row()]}
    assert one.passes(threshold) == (shortfalls([kept], threshold) == [])


def test_a_round_that_was_not_judged_passes_nowhere() -> None:
    assert not Round("text", 3, [], None).passes(0)
