"""The published folder, as its readers find it."""

import os
import re
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest

import schemas.openmementos
from pipeline.config import BuildConfig
from pipeline.files.sealed_json import write_sealed
from pipeline.publish import Published, publish
from pipeline.publish.local import record_path
from pipeline.records import parse
from pipeline.run.store import RunFolder, StoreError
from tests.records.rows import BLOCKS, MEMENTOS, memento, row
from tests.report.runs import finished_run

CONFIG = BuildConfig(name="handmade")
SCHEMAS = {
    "default": schemas.openmementos.DEFAULT,
    "full": schemas.openmementos.FULL,
    "audit": schemas.openmementos.AUDIT,
}
FOLDERS = {"default": "data", "full": "full", "audit": "audit"}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def publish_run(run: RunFolder, shards: list[int], config: BuildConfig = CONFIG, **other: Any) -> Published:
    given = {"prompts": ["compress@1", "judge@2"], "models": ("writer", "judge"), **other}
    return publish(run, shards, config, **given)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return finished_run(
        tmp_path / "run",
        [row("t0", difficulty=7), row("t1", answer="<think>")],
        [row("t2", domain="code", mementos=[memento("12 + 30", (9,), ["planning"]), memento("42")])],
        refused=["language", "cut_before_think_end"],
    )


def load(folder: Path, name: str | None = None, **options: Any) -> Any:
    return datasets.load_dataset(str(folder), name, split="train", **options)


@pytest.mark.parametrize("name", SCHEMAS)
def test_files_have_exactly_the_published_columns_and_types(run: RunFolder, name: str) -> None:
    published = publish_run(run, [0, 1])
    (path,) = (published.folder / FOLDERS[name]).iterdir()
    assert path.name == "train-00000-of-00001.parquet"
    assert pq.read_schema(path) == SCHEMAS[name]


@pytest.mark.parametrize("name", SCHEMAS)
def test_load_dataset_gives_every_configuration(run: RunFolder, name: str) -> None:
    loaded = load(publish_run(run, [0, 1]).folder, name)
    assert loaded.num_rows == 2
    assert loaded.features == datasets.Features.from_arrow_schema(SCHEMAS[name])


def test_load_dataset_without_a_name_gives_the_default(run: RunFolder) -> None:
    rows = load(publish_run(run, [0, 1]).folder)
    assert rows.column_names == ["problem", "response", "domain", "source", "difficulty"]
    assert rows["difficulty"][:] == [7, None]
    assert rows["domain"][:] == ["math", "code"]


def test_rows_stream_split_and_turn_into_polars(run: RunFolder) -> None:
    folder = publish_run(run, [0, 1]).folder
    streamed = list(load(folder, "full", streaming=True))
    assert streamed == list(load(folder, "full"))
    parts = load(folder).train_test_split(test_size=0.5, seed=0)
    assert (parts["train"].num_rows, parts["test"].num_rows) == (1, 1)
    assert load(folder, "full").to_polars()["block_summaries"].to_list()[0] == list(MEMENTOS)


def test_full_gives_sentences_blocks_and_mementos_of_the_response(run: RunFolder) -> None:
    full = load(publish_run(run, [0, 1]).folder, "full")[0]
    assert full["sentences"] == [sentence for block in BLOCKS for sentence in block]
    assert full["blocks"] == [[0, 1], [2, 3]]
    blocks = ["".join(full["sentences"][first : last + 1]) for first, last in full["blocks"]]
    assert parse(full["response"]).blocks == blocks
    assert parse(full["response"]).mementos == full["block_summaries"] == list(MEMENTOS)


def test_audit_tells_how_each_row_came_about_in_the_same_order(run: RunFolder) -> None:
    first, second = load(publish_run(run, [0, 1]).folder, "audit")
    assert (first["trace_id"], second["trace_id"]) == ("t0", "t2")
    assert (second["model"], second["judge_model"]) == ("writer", "judge")
    assert second["prompts"] == ["compress@1", "judge@2"]
    assert first["reasoning_tokens"] == sum(first["sentence_tokens"]) == 36
    assert first["memento_tokens"] == sum(m["tokens"] for m in first["mementos"]) == 8
    kept = first["mementos"][0]
    assert (kept["rounds"], kept["best_round"], kept["score"], kept["first_score"]) == (2, 1, 9, 6)
    assert second["mementos"][0]["rounds"] == 1
    assert [m["checks"] for m in second["mementos"]] == [["planning"], []]
    assert kept["rubric"]["formulas"] == 1
    assert kept["verdict_totals"] == [9], "of the round that was kept"


def test_the_same_records_give_the_same_bytes(run: RunFolder, tmp_path: Path) -> None:
    first = contents(publish_run(run, [0, 1]).folder)
    record_path(run).unlink()
    assert publish_run(run, [0, 1]).changed
    assert contents(run.publish) == first
    assert {Path(name).suffix for name in first} == {".parquet", ".md", ".png"}


def test_nothing_new_leaves_the_folder_alone(run: RunFolder) -> None:
    first = publish_run(run, [0, 1])
    times = {path: path.stat().st_mtime_ns for path in run.publish.rglob("*")}
    again = publish_run(run, [0, 1])
    assert (first.changed, again.changed) == (True, False)
    assert (again.rows, again.files, again.bytes) == (first.rows, first.files, first.bytes)
    assert {path: path.stat().st_mtime_ns for path in run.publish.rglob("*")} == times


CHANGES: list[dict[str, Any]] = [
    {"shards": [0]},
    {"config": CONFIG.model_copy(update={"publish": CONFIG.publish.model_copy(update={"license": "mit"})})},
    {"config": BuildConfig(name="handmade", source={"revision": "v1.2"})},
    {"config": BuildConfig(name="handmade", llm={"seed": 4711})},
    {"config": BuildConfig(name="handmade", llm={"max_attempts": 17})},
    {"config": BuildConfig(name="handmade", llm={"sampling": {"top_k": 20}})},
    {"prompts": ["compress@2"]},
    {"models": ("writer", "another")},
]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_the_result_is_published_anew(run: RunFolder, change: dict[str, Any]) -> None:
    publish_run(run, [0, 1])
    before = contents(run.publish)
    shards = change.get("shards", [0, 1])
    other = {name: value for name, value in change.items() if name != "shards"}
    assert publish_run(run, shards, **other).changed
    assert contents(run.publish) != before


def test_settings_that_do_not_change_the_result_publish_nothing(run: RunFolder) -> None:
    publish_run(run, [0, 1])
    endpoint = CONFIG.llm.model_copy(update={"endpoints": ("http://127.0.0.1:1/v1",)})
    config = CONFIG.model_copy(update={"name": "other", "shards_at_once": 1, "llm": endpoint})
    assert not publish_run(run, [0, 1], config).changed


def test_a_folder_with_a_missing_file_is_written_again(run: RunFolder) -> None:
    publish_run(run, [0, 1])
    before = contents(run.publish)
    (run.publish / "data/train-00000-of-00001.parquet").unlink()
    assert publish_run(run, [0, 1]).changed
    assert contents(run.publish) == before


@pytest.mark.parametrize("name", ["README.md", "data/train-00000-of-00001.parquet", "figures/funnel.png"])
def test_a_file_with_other_bytes_of_the_same_size_is_written_again(run: RunFolder, name: str) -> None:
    publish_run(run, [0, 1])
    before = contents(run.publish)
    damaged = bytearray(before[name])
    damaged[len(damaged) // 2] ^= 1
    (run.publish / name).write_bytes(damaged)
    assert publish_run(run, [0, 1]).changed
    assert contents(run.publish) == before


def test_every_file_and_folder_is_synced_before_the_record_tells_of_it(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    record_written = False

    def sync(descriptor: int) -> None:
        if not record_written:
            synced.add(os.fstat(descriptor).st_ino)

    def write_record(value: dict[str, Any], path: Path) -> None:
        nonlocal record_written
        record_written = True
        write_sealed(value, path)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr("pipeline.publish.local.write_sealed", write_record)
    publish_run(run, [0, 1])
    published = [run.publish, *run.publish.rglob("*")]
    assert [path for path in published if path.stat().st_ino not in synced] == []


def test_a_killed_publication_leaves_the_old_folder_and_no_rest(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_run(run, [0])
    before = contents(run.publish)
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.publish.local.write_card", _killed)
        with pytest.raises(KeyboardInterrupt):
            publish_run(run, [0, 1])
    assert contents(run.publish) == before
    publish_run(run, [0, 1])
    assert load(run.publish).num_rows == 2
    assert [path.name for path in run.root.glob(".*")] == []


def test_a_run_killed_between_the_renames_is_published_again(
    run: RunFolder,
) -> None:
    publish_run(run, [0, 1])
    before = contents(run.publish)
    run.publish.rename(run.root / ".publish.1.tmp")
    with run.lock():
        assert publish_run(run, [0, 1]).changed
    assert contents(run.publish) == before
    assert [path.name for path in run.root.glob(".*")] == []


def test_fewer_rows_leave_no_stale_file(run: RunFolder) -> None:
    many = CONFIG.publish.model_copy(update={"shard_bytes": 300, "row_group_bytes": 300})
    publish_run(run, [0, 1], CONFIG.model_copy(update={"publish": many}))
    assert len(list((run.publish / "data").iterdir())) == 2
    assert load(run.publish).num_rows == 2
    publish_run(run, [0])
    assert [path.name for path in (run.publish / "data").iterdir()] == ["train-00000-of-00001.parquet"]


@pytest.mark.parametrize("shards", [[], [0]])
@pytest.mark.parametrize("name", SCHEMAS)
def test_a_run_without_rows_gives_one_file_without_rows(tmp_path: Path, shards: list[int], name: str) -> None:
    run = finished_run(tmp_path / "run", [], refused=["language"])
    published = publish_run(run, shards)
    assert published.rows == 0
    (path,) = (published.folder / FOLDERS[name]).iterdir()
    assert pq.read_table(path) == SCHEMAS[name].empty_table()
    # Without streaming, `datasets` refuses any split that has no rows.
    streamed = load(published.folder, name, streaming=True)
    assert list(streamed) == []
    assert streamed.features == datasets.Features.from_arrow_schema(SCHEMAS[name])


@pytest.mark.parametrize("damage", ["", "publish.json", "publish/data/*.parquet", "publish/*/*.parquet"])
def test_a_data_set_without_rows_never_takes_the_place_of_one_with_rows(tmp_path: Path, damage: str) -> None:
    run = finished_run(tmp_path / "run", [row("t0")])
    publish_run(run, [0])
    for path in run.root.glob(damage) if damage else ():
        path.write_bytes(b"damaged")
    before = contents(run.publish)
    finished_run(run.root, [], refused=["language"])
    published = publish_run(run, [0])
    assert (published.rows, published.changed) == (0, False)
    assert contents(run.publish) == before


def test_a_data_set_without_rows_is_written_anew_where_none_was_before(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", [], refused=["language"])
    publish_run(run, [0])
    finished_run(run.root, [], refused=["language", "too_long"])
    assert publish_run(run, [0]).changed
    assert "longer than select.max_tokens" in (run.publish / "README.md").read_text()


def test_a_shard_without_records_is_an_error_that_says_what_to_do(run: RunFolder) -> None:
    with pytest.raises(StoreError, match=re.escape("shard 2 has no records to publish; run the build")):
        publish_run(run, [0, 1, 2])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
