"""A grown source, another limit or shard size: what is done stays where it is."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.shard_assignment import earlier_assignments, place
from pipeline.run.store import RunFolder
from tests.ingest.workshop import Killed, Workshop, killing, make_row


def shard_bytes(run: RunFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run.root / "ingest").glob("shard-*.parquet")}


@pytest.mark.parametrize("name", ["0-before.jsonl", "z-after.jsonl"])
def test_a_grown_source_leaves_old_shards_byte_for_byte_and_adds_new_ones(
    workshop: Workshop, name: str
) -> None:
    workshop.jsonl("m.jsonl", [make_row(n) for n in range(10)])
    workshop.ingest(traces_per_shard=4)
    before, old = shard_bytes(workshop.run), workshop.slot()
    workshop.jsonl(name, [make_row(n) for n in range(10, 15)])
    workshop.ingest(traces_per_shard=4)
    after = shard_bytes(workshop.run)
    assert {shard: after[shard] for shard in before} == before
    assert after.keys() - before.keys() == {"shard-00003.parquet", "shard-00004.parquet"}
    assert workshop.slot()[:10] == old
    assert len(workshop.slot()) == 15


def test_a_larger_limit_leaves_old_shards_as_they_were(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(n) for n in range(20)])
    workshop.ingest(traces_per_shard=4, select={"limit": 8})
    before = shard_bytes(workshop.run)
    workshop.ingest(traces_per_shard=4, select={"limit": 14})
    after = shard_bytes(workshop.run)
    assert {shard: after[shard] for shard in before} == before
    assert len(workshop.slot()) == 14


def test_another_size_holds_for_new_shards_only(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(n) for n in range(6)])
    workshop.ingest(traces_per_shard=3)
    before = shard_bytes(workshop.run)
    workshop.jsonl("b.jsonl", [make_row(n) for n in range(6, 16)])
    assert workshop.ingest(traces_per_shard=5) == 4
    assert {shard: shard_bytes(workshop.run)[shard] for shard in before} == before


@pytest.mark.parametrize("calls", range(6))
def test_a_killed_second_ingest_resumes_to_the_same_bytes(tmp_path: Path, calls: int) -> None:
    workshops = []
    for name in ("killed", "whole"):
        workshop = Workshop(tmp_path / name / "source", RunFolder(tmp_path / name / "run"))
        workshop.jsonl("m.jsonl", [make_row(n) for n in range(10)])
        workshop.ingest(traces_per_shard=4)
        workshop.jsonl("a.jsonl", [make_row(n) for n in range(10, 20)])
        workshop.jsonl("m.jsonl", [make_row(n) for n in range(2, 10)])
        workshops.append(workshop)
    killed, whole = workshops
    with pytest.raises(Killed):
        killed.ingest(killing(calls), traces_per_shard=4)
    for workshop in workshops:
        workshop.ingest(traces_per_shard=4)
    assert shard_bytes(killed.run) == shard_bytes(whole.run)


def test_a_file_that_is_no_shard_of_traces_holds_no_place(tmp_path: Path) -> None:
    path = RunFolder(tmp_path).shard("ingest", 0)
    path.parent.mkdir()
    path.write_bytes(b"PAR1")
    assert earlier_assignments(RunFolder(tmp_path)).height == 0


@st.composite
def selections(draw: st.DrawFn) -> pl.DataFrame:
    contents = draw(st.lists(st.integers(0, 30), unique=True))
    verdicts = [draw(st.sampled_from(["", "", "too_short"])) for _ in contents]
    columns = {"content": pl.UInt64, "occurrence": pl.Int64, "verdict": pl.String}
    data = {"content": contents, "occurrence": [1] * len(contents), "verdict": verdicts}
    return pl.DataFrame(data, columns)


@given(st.lists(selections(), min_size=1, max_size=4), st.integers(1, 5))
def test_rows_add_up_and_traces_that_stay_do_not_move(history: list[pl.DataFrame], size: int) -> None:
    earlier = pl.DataFrame(schema={"trace_id": pl.String, "shard": pl.Int64})
    for selection in history:
        placed = place(selection, earlier, size)
        assert sorted(placed["content"]) == sorted(selection["content"])
        assert placed["shard"].is_sorted()
        taken = placed.filter(pl.col("verdict") == "")
        ids = [f"{content:016x}" for content in taken["content"]]
        now = pl.DataFrame({"trace_id": ids, "shard": taken["shard"]}, earlier.schema)
        stayed = now.join(earlier, on="trace_id", how="inner", maintain_order="left")
        assert (stayed["shard"] == stayed["shard_right"]).all()
        old = earlier.join(now, on="trace_id", how="semi", maintain_order="left")
        assert stayed["trace_id"].to_list() == old["trace_id"].to_list()
        new = now.join(earlier, on="trace_id", how="anti")
        assert new.height == 0 or new.group_by("shard").len()["len"].max() <= size
        earlier = now
