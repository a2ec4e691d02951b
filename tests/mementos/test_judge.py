import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import MementosConfig
from pipeline.llm.cache import request_key
from pipeline.llm.concurrency import ConcurrencyLimit
from pipeline.llm.model import Reply, Request, Usage
from pipeline.llm.session import LlmSession
from pipeline.llm.templates import load_prompts
from pipeline.mementos.judge import judge
from pipeline.mementos.judgement import Judgement, combined
from pipeline.mementos.view import BlockView
from schemas.replies import Verdict

MOST = Verdict.most_points()
VERDICTS = st.builds(
    lambda points, missing: Verdict(**points, missing=missing),
    st.fixed_dictionaries({name: st.integers(0, most) for name, most in MOST.items()}),
    st.lists(st.sampled_from(["x = 42", "X  = 42", "the check", "why"]), max_size=4),
)


class Judges:
    """Gives the verdicts in the order they are asked for; keeps what it was asked."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.verdicts = list(verdicts)
        self.asked: list[Request] = []

    async def ask(self, request: Request) -> Reply:
        self.asked.append(request)
        return Reply("{}", "m", 1, Usage(), value=self.verdicts[len(self.asked) - 1])


def verdict(*missing: str, **points: int) -> Verdict:
    return Verdict(**{**MOST, **points}, missing=list(missing))


def judged(model: Judges, **judges: Any) -> Judgement:
    async def ask() -> Judgement:
        session = LlmSession(model, load_prompts(), None, 0, ConcurrencyLimit(4))
        view = BlockView(0, "t1", 0, "What is x?", [], [], "So x = 42. " * 40, 160)
        config = MementosConfig.model_validate({"judges": judges})
        return await judge(view, "x = 42.", 1, config, session)

    return asyncio.run(ask())


def test_a_single_verdict_is_taken_as_it_is():
    told = judged(Judges(verdict("x", "x", values=1)))
    assert told == Judgement({**MOST, "values": 1}, ["x", "x"], [9])


def test_the_question_of_a_single_judge_is_the_one_that_was_paid_for_before_there_were_several():
    model = Judges(verdict())
    judged(model)
    (asked,) = model.asked
    assert (asked.temperature, asked.seed) == (
        0.0,
        LlmSession(model, load_prompts(), None, 0, ConcurrencyLimit(1)).seed_of("t1", "judge", 0, 1),
    )
    several = Judges(*[verdict()] * 3)
    judged(several, number=3)
    assert several.asked[0] == asked


def test_several_judges_are_asked_the_same_and_each_by_chance_of_its_own():
    model = Judges(*[verdict()] * 3)
    judged(model, number=3, temperature=0.9)
    assert len({request.messages for request in model.asked}) == 1
    assert [request.temperature for request in model.asked] == [0.0, 0.9, 0.9]
    assert len({request_key(request, "m", {}) for request in model.asked}) == 3
    assert len({request.seed for request in model.asked}) == 3


@pytest.mark.parametrize(
    ("given_points", "mean", "least"),
    [([3, 2], 2, 2), ([3, 3, 2], 3, 2), ([0, 0, 3], 1, 0), ([2, 3, 3, 2], 2, 2), ([1, 1], 1, 1)],
)
def test_points_are_combined_by_criterion_with_halves_down(given_points, mean, least):
    verdicts = [verdict(formulas=points) for points in given_points]
    assert judged(Judges(*verdicts), number=len(verdicts)).points["formulas"] == mean
    told = judged(Judges(*verdicts), number=len(verdicts), combine="minimum")
    assert (told.points["formulas"], told.total) == (least, 7 + least)


def test_a_single_point_takes_more_than_half_of_the_judges():
    two = [verdict(validation=1), verdict(validation=0)]
    assert combined(two, "mean").points["validation"] == 0
    assert combined([*two, verdict(validation=1)], "mean").points["validation"] == 1


def test_what_is_missing_is_named_once_in_the_order_of_the_judges():
    verdicts = [verdict("x = 42", "the check"), verdict("X =  42", "why"), verdict()]
    assert combined(verdicts, "mean").missing == ["x = 42", "the check", "why"]


def test_the_total_of_each_verdict_can_be_read():
    told = judged(Judges(verdict(values=0), verdict(formulas=0), verdict()), number=3)
    assert told.verdict_totals == [8, 7, 10]
    assert told.points == {**MOST, "formulas": 2, "values": 1}
    assert told.total == 8


@given(st.lists(VERDICTS, min_size=1, max_size=6))
def test_combined_points_lie_between_the_verdicts_and_the_minimum_below_the_mean(verdicts):
    mean, least = combined(verdicts, "mean"), combined(verdicts, "minimum")
    for name in MOST:
        values = [one.points[name] for one in verdicts]
        assert least.points[name] == min(values) <= mean.points[name] <= max(values)
        assert abs(mean.points[name] - sum(values) / len(values)) <= 0.5
    assert least.total == sum(least.points.values()) <= min(one.total for one in verdicts)
