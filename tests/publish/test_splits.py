"""Rows held out for validation and test: by problem, for good, in all three configurations."""

from collections import Counter
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.config import BuildConfig, PublishConfig
from pipeline.publish import publish
from pipeline.publish.splits import only, split_of, split_shares
from tests.records.rows import row
from tests.report.runs import finished_run

HELD_OUT = {"validation": 0.2, "test": 0.3}


def test_problems_fall_to_splits_by_their_shares() -> None:
    shares = split_shares(PublishConfig(**HELD_OUT))
    counts = Counter(split_of(f"problem {number}", shares) for number in range(10_000))
    assert {name: round(count / 10_000, 1) for name, count in counts.items()} == {"train": 0.5, **HELD_OUT}


@given(st.lists(st.text(max_size=5)), st.floats(0, 0.5), st.floats(0, 0.4))
def test_every_row_is_in_exactly_one_split(problems: list[str], validation: float, test: float) -> None:
    shares = split_shares(PublishConfig(validation=validation, test=test))
    table = pa.table({"problem": pa.array(problems, pa.string()), "row": pa.array(range(len(problems)))})
    parts = {
        split: [n for t in only([table], split, shares) for n in t["row"].to_pylist()] for split in shares
    }
    assert sorted(n for rows in parts.values() for n in rows) == list(range(len(problems)))
    sides = {
        problem: {s for s, rows in parts.items() for n in rows if problems[n] == problem}
        for problem in problems
    }
    assert all(len(splits) == 1 for splits in sides.values())


def test_white_space_does_not_change_a_problems_side() -> None:
    shares = split_shares(PublishConfig(validation=0.5))
    assert all(split_of(f"a {n}", shares) == split_of(f" a\n{n} ", shares) for n in range(50))


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValidationError, match="nothing to train on"):
        PublishConfig(validation=0.5, test=0.5)


def test_load_dataset_gives_the_splits_of_every_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    run = finished_run(tmp_path / "run", [row(f"t{n}", problem=f"problem {n}") for n in range(20)])
    build = BuildConfig(name="handmade", publish=HELD_OUT)
    folder = publish(run, [0], build, prompts=[], models=("writer", "judge")).folder
    sizes = {}
    for name in ("default", "full", "audit"):
        loaded = datasets.load_dataset(str(folder), name)
        sizes[name] = {split: rows.num_rows for split, rows in loaded.items()}
    assert sizes["default"].keys() == {"train", "validation", "test"}
    assert sum(sizes["default"].values()) == 20
    assert sizes["default"] == sizes["full"] == sizes["audit"]
    problems = {
        p.name.split("-")[0]: pq.read_table(p)["problem"].to_pylist() for p in (folder / "data").iterdir()
    }
    assert not set(problems["train"]) & set(problems["test"])


def test_a_split_without_rows_is_left_out(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", [row("t0", problem="problem 0")])
    build = BuildConfig(name="handmade", publish={"test": 0.0001})
    folder = publish(run, [0], build, prompts=[], models=("writer", "judge")).folder
    assert [path.name for path in (folder / "data").iterdir()] == ["train-00000-of-00001.parquet"]
