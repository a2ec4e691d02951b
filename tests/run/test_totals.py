from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands.build import summary
from pipeline.config import BuildConfig
from pipeline.llm.model import Usage
from pipeline.run.outcomes import Done, Failed, Outcome, Rejected, RejectReason, ShardResult, collect
from pipeline.run.store import RunFolder
from pipeline.run.totals import NothingDone, Totals, read_totals
from pipeline.stages.registry import INGEST, STAGES

NOTHING = pa.schema([])
OUTCOMES = (
    Done({}),
    Rejected(RejectReason.LANGUAGE, "zh"),
    Rejected(RejectReason.TOO_LONG, "9"),
    Rejected(RejectReason.NOT_CHOSEN, "by chance"),
    Failed("down"),
)
REJECTED = Rejected(RejectReason.LANGUAGE, "zh")


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


def totals_of(root: Path, outcomes: list[Outcome]) -> Totals:
    """Totals of a run in which these are the outcomes of the last stage that any trace comes to."""
    run = RunFolder(root)
    for name in (INGEST, *(stage.name for stage in STAGES[:-1])):
        result = collect(name, rows(len(outcomes)), NOTHING, [Done({})] * len(outcomes))
        put(run, name, 0, result, len(outcomes), Usage())
    put(run, STAGES[-1].name, 0, collect("x", rows(len(outcomes)), NOTHING, outcomes), len(outcomes), Usage())
    return read_totals(run, BuildConfig(name="x"), 1, seconds=1)


def test_a_run_in_which_some_failed_says_the_commonest_reason(tmp_path):
    busy = [Failed(f"trace {n}, block 1: 429 Too many requests, asks to wait {n} s") for n in range(3)]
    other = [Failed(f"trace {n}: a refusal") for n in range(2)]
    totals = totals_of(tmp_path, [*other, *busy, REJECTED, REJECTED, REJECTED, REJECTED, Done({})])
    assert totals.shortfall == (
        "5 traces failed, most often: 429 Too many requests, asks to wait 0 s (3 times)"
    )
    assert totals.errors == {"429 Too many requests, asks to wait 0 s": 3, "a refusal": 2}
    assert totals.as_json()["shortfall"] == totals.shortfall


def test_a_run_in_which_nothing_is_done_says_the_commonest_reason_of_all(tmp_path):
    failed = [Failed(f"trace {n}: down") for n in range(2)]
    not_chosen = Rejected(RejectReason.NOT_CHOSEN, "by chance")
    told = totals_of(tmp_path / "failed", [REJECTED, not_chosen, *failed]).shortfall
    assert told == "none of 4 traces is done, most often: down (2 times)"
    told = totals_of(
        tmp_path / "rejected", [REJECTED, REJECTED, not_chosen, Failed("trace 1: down")]
    ).shortfall
    assert told == "none of 4 traces is done, most often: another language (2 times)"
    assert totals_of(tmp_path / "none", []).shortfall == "no trace came in"


def test_a_run_that_failed_nothing_has_no_shortfall(tmp_path):
    assert totals_of(tmp_path, [REJECTED, Done({})]).shortfall == ""


def test_the_error_of_a_run_with_nothing_done_names_the_folder_and_what_is_kept(tmp_path):
    told = str(NothingDone(totals_of(tmp_path, [Failed("trace 1: down\n  start it")])))
    assert told.startswith("none of 1 traces is done, most often: down; start it (1 time). Replies are kept")
    assert f"{tmp_path} lists the traces in failed and rejected" in told
    assert "\n" not in told
    assert "run the same command to go on" in told
