"""Traces go through stages by themselves, and every one of them is in the tables of the shard."""

import asyncio
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.llm.admission import Admission, ShardAdmission
from pipeline.llm.model import ReplyError
from pipeline.run.outcomes import Done, Outcome, Rejected, RejectReason
from pipeline.stages.run_traces import Step, travel
from pipeline.stages.stage import Row, Stage, TraceWork

ENDPOINT = "http://here/v1"
COLUMNS = ("trace_id", "origin", "sentence_tokens")


def stage(name: str, reads: tuple[str, ...] = COLUMNS) -> Stage:
    return Stage(
        name=name,
        verb=name,
        reads=reads,
        adds=pa.schema([pa.field(name, pa.int64())]),
        begin=lambda build, session: adding(name),
        config=lambda build: {},
        version=1,
    )


def adding(name: str) -> TraceWork:
    async def add(rank: int, row: Row, counters: Counter[str]) -> Outcome:
        counters["traces"] += 1
        return Done({name: rank})

    return add


def table(*tokens: int) -> pa.Table:
    rows = [{"trace_id": f"t{n}", "origin": "f", "sentence_tokens": [size]} for n, size in enumerate(tokens)]
    return pa.Table.from_pylist(
        rows,
        pa.schema(
            [("trace_id", pa.string()), ("origin", pa.string()), ("sentence_tokens", pa.list_(pa.int32()))]
        ),
    )


@settings(deadline=None)
@given(st.lists(st.sampled_from("drf"), min_size=1, max_size=30), st.integers(1, 40))
def test_every_trace_is_done_rejected_or_failed_in_the_order_it_came(ends: list[str], room: int) -> None:
    async def middle(rank: int, row: Row, counters: Counter[str]) -> Outcome:
        for _ in range(rank % 3):
            await asyncio.sleep(0)
        if ends[rank] == "r":
            return Rejected(RejectReason.LANGUAGE, row["trace_id"])
        if ends[rank] == "f":
            raise ReplyError(row["trace_id"], "an empty reply")
        return Done({"middle": rank})

    steps = [Step(stage("first"), adding("first")), Step(stage("middle", (*COLUMNS, "first")), middle)]
    steps.append(Step(stage("last", (*COLUMNS, "middle")), adding("last")))
    admission = ShardAdmission(Admission({ENDPOINT: room}, 5))
    first, second, last = asyncio.run(travel(table(*[7] * len(ends)), steps, admission))
    assert first.done["first"].to_pylist() == list(range(len(ends)))
    done = [rank for rank, end in enumerate(ends) if end == "d"]
    assert second.done["trace_id"].to_pylist() == last.done["trace_id"].to_pylist() == [f"t{n}" for n in done]
    assert second.rejected["trace_id"].to_pylist() == [f"t{n}" for n, end in enumerate(ends) if end == "r"]
    assert second.failed["trace_id"].to_pylist() == [f"t{n}" for n, end in enumerate(ends) if end == "f"]
    assert last.done.column_names == [*COLUMNS, "first", "middle", "last"]
    assert last.counters["traces"] == len(done)


def test_a_trace_goes_on_before_the_next_one_begins_where_there_is_room_for_one() -> None:
    order: list[tuple[str, int]] = []

    def noting(name: str) -> TraceWork:
        async def note(rank: int, row: Row, counters: Counter[str]) -> Outcome:
            await asyncio.sleep(0)
            order.append((name, rank))
            return Done({name: rank})

        return note

    steps = [Step(stage("score"), noting("score")), Step(stage("mementos"), noting("mementos"))]
    asyncio.run(travel(table(80, 80), steps, ShardAdmission(Admission({ENDPOINT: 100}, 5))))
    assert order == [("score", 0), ("mementos", 0), ("score", 1), ("mementos", 1)]


def test_a_stage_sees_the_columns_that_it_reads_and_no_others() -> None:
    seen: list[Row] = []

    async def look(rank: int, row: Row, counters: Counter[str]) -> Outcome:
        seen.append(row)
        return Done({"last": 1})

    steps = [Step(stage("first"), adding("first")), Step(stage("last", ("trace_id", "first")), look)]
    asyncio.run(travel(table(1), steps))
    assert seen == [{"trace_id": "t0", "first": 0}]


def test_an_error_that_is_no_traces_own_ends_the_journey() -> None:
    async def broken(rank: int, row: Row, counters: Counter[str]) -> Outcome:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        asyncio.run(travel(table(1, 1), [Step(stage("first"), broken)]))


def test_seconds_of_a_step_are_those_in_which_a_trace_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr("pipeline.stages.run_traces.time.monotonic", lambda: clock)
    slow_may_end = asyncio.Event()

    async def first(rank: int, row: Row, counters: Counter[str]) -> Outcome:
        nonlocal clock
        if rank == 1:
            await slow_may_end.wait()
            clock += 100
        return Done({"first": rank})

    async def last(rank: int, row: Row, counters: Counter[str]) -> Outcome:
        nonlocal clock
        clock += 3
        slow_may_end.set()
        return Done({"last": rank})

    steps = [Step(stage("first"), first), Step(stage("last", (*COLUMNS, "first")), last)]
    asyncio.run(travel(table(7, 7), steps))
    # The 3 s before the second trace begins are not the first step's, the 100 s that it takes not the last's.
    assert [step.seconds for step in steps] == [100, 6]
    assert steps[0].seconds_by_rank == {0: 0, 1: 100}
    assert steps[1].seconds_by_rank == {0: 3, 1: 3}


def test_seconds_in_which_several_traces_are_in_a_step_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr("pipeline.stages.run_traces.time.monotonic", lambda: clock)

    async def work(rank: int, row: Row, counters: Counter[str]) -> Outcome:
        nonlocal clock
        clock += 3
        await asyncio.sleep(0)
        clock += 4
        return Done({"first": rank})

    step = Step(stage("first"), work)
    asyncio.run(travel(table(7, 7), [step]))
    assert step.seconds == 14
    assert step.seconds_by_rank == {0: 10, 1: 11}
