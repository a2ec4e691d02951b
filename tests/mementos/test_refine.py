import asyncio
from collections.abc import Sequence

import pytest

from pipeline.config import MementosConfig
from pipeline.llm.concurrency import ConcurrencyLimit
from pipeline.llm.model import JsonReply, Reply, ReplyError, Request, Usage
from pipeline.llm.session import LlmSession
from pipeline.llm.templates import load_prompts
from pipeline.mementos.refine import Round, best_round, write_memento
from pipeline.mementos.view import BlockView
from schemas.replies import Verdict

BLOCK = "Let me add 12 and 30. That gives 42, and 42 is even, so x = 42 holds. " * 8


class ScriptedModel:
    """Answers compress and refine from one list, judge from another; keeps what it was asked."""

    def __init__(self, mementos: Sequence[str], verdicts: Sequence[Verdict]) -> None:
        self.mementos = list(mementos)
        self.verdicts = list(verdicts)
        self.asked: list[Request] = []

    async def ask(self, request: Request) -> Reply:
        self.asked.append(request)
        if isinstance(request.constraint, JsonReply):
            return Reply("{}", "m", 1, Usage(), value=self.verdicts.pop(0))
        return Reply(self.mementos.pop(0), "m", 1, Usage())

    @property
    def purposes(self) -> list[str]:
        return [request.purpose for request in self.asked]


def verdict(points: int, *missing: str) -> Verdict:
    bounds = {
        "formulas": 3,
        "values": 2,
        "methods": 2,
        "validation": 1,
        "only_confirmed": 1,
        "result_first": 1,
    }
    given: dict[str, int] = {}
    for name, most in bounds.items():
        given[name] = min(most, points)
        points -= given[name]
    return Verdict(**given, missing=list(missing))


def rounds(model: ScriptedModel, **config: object) -> list[Round]:
    async def write() -> list[Round]:
        session = LlmSession(model, load_prompts(), None, 0, ConcurrencyLimit(4))
        view = BlockView(0, "t1", 0, "What is x?", [], [], BLOCK, 160)
        settings = MementosConfig(**config)
        return await write_memento(view, settings, session, lambda texts: [len(t) // 4 + 1 for t in texts])

    return asyncio.run(write())


def test_a_memento_that_passes_is_never_touched_again():
    model = ScriptedModel(["x = 42."], [verdict(8)])
    assert len(rounds(model)) == 1
    assert model.purposes == ["compress", "judge"]


def test_a_memento_that_does_not_pass_is_refined_with_what_is_missing():
    model = ScriptedModel(["x is even.", "x = 42, even."], [verdict(5, "x = 42"), verdict(9)])
    done = rounds(model)
    assert model.purposes == ["compress", "judge", "refine", "judge"]
    assert "- x = 42" in model.asked[2].messages[1].content
    assert done[best_round(done)].text == "x = 42, even."


def test_a_memento_handed_back_as_it_was_is_not_judged_again():
    model = ScriptedModel(["x is even."] * 2 + ["x = 42."], [verdict(5, "x = 42"), verdict(9)])
    done = rounds(model, max_rounds=3)
    assert model.purposes == ["compress", "judge", "refine", "refine", "judge"]
    assert [one.verdict and one.verdict.total for one in done] == [5, 5, 9]


def test_the_best_round_is_kept_even_if_it_is_not_the_last():
    model = ScriptedModel(["x = 42.", "worse."], [verdict(7, "evenness"), verdict(3)])
    done = rounds(model)
    assert best_round(done) == 0
    assert [one.verdict.total for one in done if one.verdict] == [7, 3]


def test_findings_of_the_checks_join_the_feedback():
    model = ScriptedModel(["x = 41.", "x = 42."], [verdict(9), verdict(9)])
    done = rounds(model)
    assert model.purposes == ["compress", "judge", "refine", "judge"]
    assert "41" in told(model)[0]
    assert done[best_round(done)].text == "x = 42."


def told(model: ScriptedModel) -> list[str]:
    """What the refinement was told to put right."""
    lines = model.asked[2].messages[1].content.splitlines()
    return [line.removeprefix("- ") for line in lines if line.startswith("- ")]


def test_a_refinement_is_told_which_points_were_lost_even_if_nothing_is_named():
    model = ScriptedModel(["x is even.", "x = 42, even."], [verdict(7), verdict(9)])
    rounds(model)
    assert told(model) == [
        "tell what was checked and how it came out",
        "leave out what the reasoning does not establish, and call a guess a guess",
        "begin with what was found",
    ]


def test_what_is_asked_for_fits_what_may_be_answered():
    model = ScriptedModel(["x = 42."], [verdict(9)])
    rounds(model, max_tokens=30)
    assert "about 15 words" in model.asked[0].messages[1].content
    assert model.asked[0].max_tokens == 30


def test_a_memento_longer_than_its_block_is_not_judged_and_not_kept():
    model = ScriptedModel([BLOCK + BLOCK, "x = 42."], [verdict(9)])
    done = rounds(model)
    assert model.purposes == ["compress", "refine", "judge"]
    assert not done[0].valid
    assert best_round(done) == 1


def test_no_more_rounds_than_configured():
    model = ScriptedModel(["x = 42."] * 3, [verdict(2)] * 3)
    assert len(rounds(model, max_rounds=3)) == 3


def test_a_reply_that_cannot_be_had_is_no_memento():
    class Broken:
        async def ask(self, request: Request) -> Reply:
            raise ReplyError(request.label, "cut off", ["half a"])

    with pytest.raises(ReplyError):
        rounds(Broken())  # type: ignore[arg-type]


def test_the_total_is_added_up_from_the_points():
    assert verdict(10).total == 10
    assert verdict(4).points == {
        "formulas": 3,
        "values": 1,
        "methods": 0,
        "validation": 0,
        "only_confirmed": 0,
        "result_first": 0,
    }
