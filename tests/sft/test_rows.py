"""Checkpoints are chosen by rows that no result is told of."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.sft.config import DataConfig
from pipeline.sft.rows import Rows, load_rows


def data_set(folder: Path, **splits: int) -> str:
    """A published folder with so many rows in each split, each of a problem that names its split."""
    (folder / "data").mkdir(parents=True)
    for split, rows in splits.items():
        problems = [f"{split} {number}" for number in range(rows)]
        table = pa.table({"problem": problems, "response": ["<think>"] * rows})
        pq.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet")
    return str(folder)


def sides(rows: Rows) -> tuple[set[str], set[str]]:
    """The splits that rows to learn and rows held out come from."""
    train, held_out = (
        {problem.split()[0] for problem in side["problem"]} for side in (rows.train, rows.held_out)
    )
    return train, held_out


@pytest.mark.parametrize("others", [{}, {"test": 20}])
def test_a_split_called_validation_is_what_checkpoints_are_chosen_by(
    tmp_path: Path, others: dict[str, int]
) -> None:
    told: list[str] = []
    place = data_set(tmp_path / "set", train=50, validation=10, **others)
    rows = load_rows(DataConfig(dataset=place), tmp_path, told.append)
    assert sides(rows) == ({"train"}, {"validation"})
    assert (len(rows.train), len(rows.held_out)) == (50, 10)
    assert not told


def test_a_split_called_test_is_neither_learnt_nor_chosen_by(tmp_path: Path) -> None:
    told: list[str] = []
    place = data_set(tmp_path / "set", train=200, test=20)
    rows = load_rows(DataConfig(dataset=place, held_out=0.2), tmp_path, told.append)
    assert sides(rows) == ({"train"}, {"train"})
    assert len(rows.train) + len(rows.held_out) == 200
    assert not {*rows.train["problem"]} & {*rows.held_out["problem"]}
    (line,) = told
    assert line.endswith(
        f"has no split validation; {len(rows.held_out)} rows of train are held out to choose checkpoints by, "
        "and test is left alone"
    )


def test_without_a_split_part_of_the_problems_is_held_out_and_nothing_need_be_said(tmp_path: Path) -> None:
    told: list[str] = []
    place = data_set(tmp_path / "set", train=200)
    rows = load_rows(DataConfig(dataset=place, held_out=0.2), tmp_path, told.append)
    assert 20 < len(rows.held_out) < 60
    assert not told
