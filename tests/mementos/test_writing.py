from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from pipeline.config import MementosConfig
from pipeline.llm.concurrency import ConcurrencyLimit
from pipeline.llm.model import JsonReply, Reply, ReplyError, Request, Usage
from pipeline.llm.session import LlmSession
from pipeline.llm.templates import load_prompts
from pipeline.mementos.writing import MEMENTOS as WRITING
from pipeline.records.checks import Severity
from pipeline.run.outcomes import ShardResult
from schemas.replies import Verdict
from schemas.tables import MEMENTOS
from tests.records.test_checks import BLOCK, EXAMPLES, PROBLEM
from tests.through_stages import through

BLOCKS = (
    "First the apples: 12 of them, counted twice and found to be right. " * 5,
    "Then the pears: 30 of them, which makes 42 pieces of fruit in all. " * 5,
)
FULL_MARKS = Verdict(
    formulas=3, values=2, methods=2, validation=1, only_confirmed=1, result_first=1, missing=[]
)


class Writer:
    """Writes "There are N." with the number of the block it is shown last; judges with full marks."""

    def __init__(self, memento: str | None = None, broken: bool = False) -> None:
        self.asked: list[Request] = []
        self._memento = memento
        self._broken = broken

    async def ask(self, request: Request) -> Reply:
        self.asked.append(request)
        if self._broken:
            raise ReplyError(request.label, "a reply cut at max_tokens", ["There a"])
        if isinstance(request.constraint, JsonReply):
            return Reply("{}", "m", 1, Usage(), value=FULL_MARKS)
        number = "30" if "pears" in shown(request) else "12"
        return Reply(self._memento or f"There are {number}.", "m", 1, Usage())


def shown(request: Request) -> str:
    return request.messages[1].content


def row() -> dict[str, Any]:
    return {
        "trace_id": "t0",
        "origin": "f:0",
        "problem": "How many?",
        "reasoning": "".join(BLOCKS),
        "sentence_ends": [len(BLOCKS[0]), len(BLOCKS[0] + BLOCKS[1])],
        "block_ends": [1, 2],
        "block_tokens": [80, 85],
    }


def written(model: Writer, trace: dict[str, Any] | None = None, **config: Any) -> ShardResult:
    session = LlmSession(model, load_prompts(), None, 0, ConcurrencyLimit(4))
    table = pa.Table.from_pylist([trace or row()])
    return through(WRITING, table, session, mementos=MementosConfig(**config))


class Critic(Writer):
    """Finds formulas and checks missing in the first round of each memento."""

    async def ask(self, request: Request) -> Reply:
        reply = await super().ask(request)
        if isinstance(reply.value, Verdict) and "round 0" in request.label:
            return replace(reply, value=reply.value.model_copy(update={"formulas": 1, "validation": 0}))
        return replace(reply, text=f"{reply.text} Counted.") if request.purpose == "refine" else reply


def test_points_of_first_rounds_and_of_kept_ones_are_added_up_by_criterion():
    counters = written(Critic()).counters
    assert (counters["judged.first_round"], counters["judged.kept"]) == (2, 2)
    first, kept = (
        {name: counters[f"points.{which}.{name}"] for name in FULL_MARKS.points}
        for which in ("first_round", "kept")
    )
    assert kept == {name: 2 * points for name, points in FULL_MARKS.points.items()}
    assert first == {**kept, "formulas": 2, "validation": 0}


def test_a_round_that_no_judge_saw_adds_no_points():
    counters = written(Writer(memento=BLOCKS[0] * 2), max_rounds=1).counters
    assert counters["judged.first_round"] == counters["judged.kept"] == 0
    assert not [name for name in counters if name.startswith("points.")]


def test_every_block_gets_a_memento_with_its_rounds():
    result = written(Writer())
    (done,) = result.done.to_pylist()
    assert result.done.schema.field("mementos").type == MEMENTOS.field("mementos").type
    assert [memento["text"] for memento in done["mementos"]] == ["There are 12.", "There are 30."]
    assert [memento["score"] for memento in done["mementos"]] == [10, 10]
    assert [len(memento["rounds"]) for memento in done["mementos"]] == [1, 1]
    assert (result.counters["mementos"], result.counters["passed_first_round"]) == (2, 2)


def test_with_the_context_trace_a_block_is_seen_after_the_blocks_before_it():
    model = Writer()
    written(model, context="trace")
    assert any(BLOCKS[0] + BLOCKS[1] in shown(request) for request in model.asked)


def test_with_the_context_mementos_a_block_is_seen_after_the_mementos_before_it():
    model = Writer()
    written(model, context="mementos")
    second = [shown(request) for request in model.asked if "pears" in shown(request)]
    assert second
    assert all("There are 12.\n\n" + BLOCKS[1] in text for text in second)
    assert not any(BLOCKS[0] in text for text in second)


def test_with_the_context_block_a_block_is_seen_alone():
    model = Writer()
    written(model, context="block")
    assert not any("apples" in shown(request) and "pears" in shown(request) for request in model.asked)


def test_a_block_without_a_valid_memento_rejects_its_trace_and_all_is_counted():
    result = written(Writer(memento=BLOCKS[0] * 3))
    assert result.rejected.column("reason").to_pylist() == ["no_valid_memento"]
    assert "block 0" in result.rejected.column("detail").to_pylist()[0]
    assert (result.counters["mementos"], result.counters["rounds"]) == (2, 4)


@pytest.mark.parametrize(("check", "severity", "bad"), [example[:3] for example in EXAMPLES])
def test_what_a_check_finds_is_counted_and_named_in_its_round(check: str, severity: Severity, bad: str):
    checked = {**row(), "problem": PROBLEM, "reasoning": BLOCK, "sentence_ends": [len(BLOCK)]}
    result = written(Writer(memento=bad), {**checked, "block_ends": [1], "block_tokens": [80]}, max_rounds=1)
    assert result.counters[f"check.{check}"] == 1
    if severity is not Severity.REJECT:
        ((memento,),) = result.done.column("mementos").to_pylist()
        assert memento["rounds"][0]["checks"] == [check]
        assert result.counters["passed"] == (severity is Severity.NOTE)


def test_no_block_after_a_hopeless_one_is_paid_for():
    model = Writer(memento=BLOCKS[0] * 3)
    written(model, context="mementos")
    assert not any("pears" in shown(request) for request in model.asked)


def test_an_unusable_reply_fails_the_trace_and_is_kept():
    result = written(Writer(broken=True))
    assert result.failed.column("replies").to_pylist() == [["There a"]]
    assert "cut at max_tokens" in result.failed.column("error").to_pylist()[0]
