import json

import pyarrow as pa
import pytest

import schemas.tables
from pipeline.files.atomic import replacing
from pipeline.files.damage import DamageError
from pipeline.llm.model import Usage
from pipeline.run.outcomes import Done, Failed, Rejected, RejectReason, ShardResult, collect
from pipeline.run.store import Manifest, RunFolder, StoreError

ADDED = pa.schema([pa.field("size", pa.int32(), nullable=False)])


def rows(count: int) -> pa.Table:
    return pa.table({"trace_id": [f"t{i}" for i in range(count)], "origin": [f"f#{i}" for i in range(count)]})


def one_of_each() -> ShardResult:
    outcomes = [Done({"size": 1}), Rejected(RejectReason.LANGUAGE, "zh"), Failed("no answer", ["junk"])]
    return collect("stage", rows(3), ADDED, outcomes)


def write(run: RunFolder, result: ShardResult, rows_in: int = 3, config: str = "c") -> Manifest:
    used = {"score": Usage(requests=2, prompt_tokens=7)}
    return run.write(
        "stage", 0, result, rows_in=rows_in, input="i", config=config, version=1, usage=used, seconds=1.5
    )


def test_every_row_is_in_exactly_one_table():
    result = one_of_each()
    assert result.done.to_pylist() == [{"trace_id": "t0", "origin": "f#0", "size": 1}]
    assert result.rejected.to_pylist() == [
        {"trace_id": "t1", "origin": "f#1", "stage": "stage", "reason": "language", "detail": "zh"}
    ]
    assert result.failed.column("replies").to_pylist() == [["junk"]]


def test_a_lost_row_is_an_error():
    with pytest.raises(ValueError, match="3 traces came in, 1 outcomes came out"):
        collect("stage", rows(3), ADDED, [Done({"size": 1})])


def test_counts_that_do_not_add_up_stop_the_run_before_anything_is_written(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(StoreError, match="4 traces came in and 3 came out"):
        write(run, one_of_each(), rows_in=4)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_with_failed_traces_is_never_current(tmp_path):
    run = RunFolder(tmp_path)
    write(run, one_of_each())
    assert run.current("stage", 0, input="i", config="c", version=1) is None
    assert run.read("stage", 0).num_rows == 1


@pytest.mark.parametrize("changed", [{"input": "x"}, {"config": "x"}, {"version": 2}])
def test_a_result_is_stale_when_what_it_depends_on_changes(tmp_path, changed):
    run = RunFolder(tmp_path)
    write(run, collect("stage", rows(1), ADDED, [Done({"size": 1})]), rows_in=1)
    same = {"input": "i", "config": "c", "version": 1}
    assert run.current("stage", 0, **same) is not None
    assert run.current("stage", 0, **{**same, **changed}) is None


def test_a_shard_file_cut_short_does_not_count(tmp_path):
    run = RunFolder(tmp_path)
    write(run, collect("stage", rows(1), ADDED, [Done({"size": 1})]), rows_in=1)
    path = run.shard("stage", 0)
    path.write_bytes(path.read_bytes()[:-1])
    assert run.current("stage", 0, input="i", config="c", version=1) is None


def test_rejected_and_failed_files_of_an_earlier_result_are_gone(tmp_path):
    run = RunFolder(tmp_path)
    write(run, one_of_each())
    assert run.rejected("stage", 0).exists()
    assert run.failed("stage", 0).exists()
    write(run, collect("stage", rows(3), ADDED, [Done({"size": 1})] * 3))
    assert not run.rejected("stage", 0).exists()
    assert not run.failed("stage", 0).exists()


def test_the_manifest_tells_counts_and_tokens(tmp_path):
    run = RunFolder(tmp_path)
    write(run, one_of_each())
    told = json.loads(run.manifest("stage", 0).read_text())
    assert (told["rows_in"], told["rows_out"], told["rejected"], told["failed"]) == (3, 1, {"language": 1}, 1)
    assert told["usage"]["score"]["prompt_tokens"] == 7


def test_a_second_run_on_the_folder_is_refused(tmp_path):
    run = RunFolder(tmp_path)
    with run.lock(), pytest.raises(StoreError, match="another run"), run.lock():
        pass
    with run.lock():
        pass


def test_a_manifest_of_another_kind_names_the_file(tmp_path):
    run = RunFolder(tmp_path)
    run.manifest("stage", 0).parent.mkdir()
    run.manifest("stage", 0).write_text('{"stage": ')
    with pytest.raises(DamageError, match=r"shard-00000\.json: damaged .*; run the build again"):
        run.read_manifest("stage", 0)


def test_nothing_half_written_takes_a_files_place(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def write_and_break() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_break()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_every_reject_reason_has_words():
    assert all(reason.text for reason in RejectReason)


def test_schemas_do_not_share_columns():
    added = [
        name
        for schema in (
            schemas.tables.TRACES,
            schemas.tables.SENTENCES,
            schemas.tables.SCORES,
            schemas.tables.BLOCKS,
            schemas.tables.MEMENTOS,
            schemas.tables.RECORDS,
        )
        for name in schema.names
    ]
    assert len(added) == len(set(added))


def test_shards_that_a_smaller_selection_no_longer_has_are_removed(tmp_path):
    run = RunFolder(tmp_path)
    for shard in (0, 1, 2):
        result = one_of_each()
        run.write("stage", shard, result, rows_in=3, input="i", config="c", version=1, usage={}, seconds=0)
    run.replies("stage", 2).parent.mkdir()
    run.replies("stage", 2).write_text("{}")
    run.remove_shards_from(1, ["stage"])
    assert {path.name for path in tmp_path.rglob("*-0000[0-9].*")} == {
        "shard-00000.parquet",
        "shard-00000.json",
        "stage-00000.parquet",
        "stage-00002.jsonl",
    }


def test_what_a_killed_run_was_writing_is_cleared_away(tmp_path):
    run = RunFolder(tmp_path)
    leftover = tmp_path / "stage" / ".shard-00000.parquet.1234.tmp"
    model = tmp_path / "full" / ".model.1234.tmp"
    # Of whoever writes the report now, without the run's lock: `openmementos view`.
    pages = run.report / "traces" / ".00000.1234.tmp"
    for path in (leftover.parent, model, pages):
        path.mkdir(parents=True)
    for path in (leftover, model / "model.safetensors", pages / "a.html"):
        path.write_text("half")
    with run.lock():
        assert not leftover.exists()
        assert not model.exists()
        assert (pages / "a.html").exists()
