from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands.build import summary
from pipeline.config import BuildConfig
from pipeline.llm.model import Usage
from pipeline.run.outcomes import Done, Failed, Outcome, Rejected, RejectReason, ShardResult, collect
from pipeline.run.store import RunFolder
from pipeline.run.totals import read_totals
from pipeline.stages.registry import INGEST, STAGES

NOTHING = pa.schema([])
OUTCOMES = (
    Done({}),
    Rejected(RejectReason.LANGUAGE, "zh"),
    Rejected(RejectReason.TOO_LONG, "9"),
    Rejected(RejectReason.NOT_CHOSEN, "by chance"),
    Failed("down"),
)


def rows(count: int) -> pa.Table:
    return pa.table({"trace_id": [f"t{i}" for i in range(count)], "origin": ["f"] * count})


def put(run: RunFolder, stage: str, shard: int, result: ShardResult, rows_in: int, usage: Usage) -> None:
    used = {"judge": usage}
    run.write(stage, shard, result, rows_in=rows_in, input="", config="", version=1, usage=used, seconds=1)


@given(
    st.lists(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=9), min_size=1, max_size=3), st.data()
)
def test_traces_in_add_up(tmp_path_factory, shards: list[list[Outcome]], data):
    run = RunFolder(tmp_path_factory.mktemp("run"))
    for shard, outcomes in enumerate(shards):
        left = outcomes
        for name in (INGEST, *(stage.name for stage in STAGES)):
            result = collect(name, rows(len(left)), NOTHING, left)
            put(run, name, shard, result, len(left), Usage(requests=1))
            size = result.done.num_rows
            left = data.draw(st.lists(st.sampled_from(OUTCOMES), min_size=size, max_size=size))
    totals = read_totals(run, BuildConfig(name="x"), len(shards), seconds=1)
    assert totals.traces_in == sum(map(len, shards))
    lost = sum(totals.rejected.values()) + totals.failed
    assert totals.traces_in == totals.done + totals.not_chosen + lost
    assert "not_chosen" not in totals.rejected
    assert totals.usage["judge"]["requests"] == len(shards) * (1 + len(STAGES))


def test_cost_counts_what_earlier_passes_paid(tmp_path):
    run = RunFolder(tmp_path)
    usage = Usage(
        prompt_tokens=2_000_000,
        completion_tokens=500_000,
        paid_before_prompt_tokens=1_000_000,
        paid_before_completion_tokens=500_000,
    )
    put(run, "mementos", 0, collect("mementos", rows(0), NOTHING, [], Counter()), 0, usage)
    prices = {"price_per_million_prompt_tokens": 2.0, "price_per_million_completion_tokens": 8.0}
    build = BuildConfig(name="x", llm=prices)
    assert read_totals(run, build, 1, seconds=1).cost == pytest.approx(3 * 2.0 + 1 * 8.0)
    assert read_totals(run, BuildConfig(name="x"), 1, seconds=1).cost is None


def test_blocks_over_the_maximum_are_counted_and_told(tmp_path):
    run = RunFolder(tmp_path)
    for shard, oversized in enumerate((2, 1)):
        counters = Counter({"blocks": 9, "oversized_blocks": oversized})
        put(run, "partition", shard, collect("partition", rows(0), NOTHING, [], counters), 0, Usage())
    totals = read_totals(run, BuildConfig(name="x"), 2, seconds=1).as_json()
    assert totals["oversized_blocks"] == 3
    assert "3 blocks over partition.max_tokens" in list(summary(totals).columns[1].cells)


def test_the_commonest_details_of_each_reason_are_told_with_a_row(tmp_path):
    run = RunFolder(tmp_path)
    said = [f"{n} characters, no </think>" for n in range(9)] + ["no turn"] * 2 + ["a", "b"]
    outcomes = [Rejected(RejectReason.UNREADABLE_ROW, detail) for detail in said]
    outcomes += [Rejected(RejectReason.NOT_CHOSEN, "by chance")] * 20 + [Done({})]
    result = collect(INGEST, rows(len(outcomes)), NOTHING, outcomes, Counter({"end_tokens_taken_off": 4}))
    put(run, INGEST, 0, result, len(outcomes), Usage())
    totals = read_totals(run, BuildConfig(name="x"), 1, seconds=1)
    assert [(one.detail, one.rows) for one in totals.examples] == [(said[0], 9), ("no turn", 2), ("a", 1)]
    told = [str(cell) for cell in summary(totals.as_json()).columns[1].cells]
    assert "0 characters, no </think> (9, the first f)" in told
    assert "4 answers by a tokenizer's end marker" in told


def test_mean_points_can_be_read_by_criterion(tmp_path):
    run = RunFolder(tmp_path)
    for shard, formulas in enumerate((5, 2)):
        points = {"points.kept.formulas": formulas, "points.kept.values": 4, "judged.kept": 2}
        result = collect("mementos", rows(0), NOTHING, [], Counter(points))
        put(run, "mementos", shard, result, 0, Usage())
    totals = read_totals(run, BuildConfig(name="x"), 2, seconds=1)
    assert totals.points == {"first_round": {}, "kept": {"formulas": 7 / 4, "values": 2.0}}
    assert totals.as_json()["points"] == totals.points
