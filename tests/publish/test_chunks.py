"""What a small change costs on the Hub, which keeps files as chunks: most are those of the release before."""

import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import BuildConfig
from pipeline.publish import publish
from tests.records.rows import memento, row
from tests.report.runs import finished_run

pytestmark = pytest.mark.slow
Row = dict[str, Any]
ROWS = 2000
# The Hub's own chunks are 64 KiB in the mean.
PIECE = 2**16


def trace(number: int) -> Row:
    """A trace of some 12 KB that hardly compresses, as texts of their own have it."""
    rng = random.Random(number)
    sentences = [f"{rng.randbytes(1000).hex()} step {step}. " for step in range(6)]
    return row(
        f"t{number}",
        blocks=[sentences[:3], sentences[3:]],
        mementos=[memento(rng.randbytes(40).hex()), memento(rng.randbytes(40).hex())],
        problem=f"Problem {number}: {rng.randbytes(100).hex()}",
    )


def published(folder: Path, rows: list[Row]) -> dict[str, bytes]:
    run = finished_run(folder, rows)
    build = BuildConfig(name="handmade", publish={"row_group_bytes": 16_000_000})
    publish(run, [0], build, prompts=["compress@1"], models=("writer", "judge"))
    return {path.parent.name: path.read_bytes() for path in run.publish.rglob("*.parquet")}


def kept(before: dict[str, bytes], after: dict[str, bytes]) -> float:
    """The share of the old files' pieces that stand in the new ones, wherever."""
    pieces = [
        (name, data[at : at + PIECE]) for name, data in before.items() for at in range(0, len(data), PIECE)
    ]
    return sum(piece in after[name] for name, piece in pieces) / len(pieces)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [trace(number) for number in range(ROWS)]


@pytest.fixture(scope="module")
def before(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return published(tmp_path_factory.mktemp("before"), rows)


@pytest.mark.exhaustive
def test_five_percent_more_rows_leave_most_chunks_as_they_were(
    rows: list[Row], before: dict[str, bytes], tmp_path: Path
) -> None:
    grown = [*rows, *map(trace, range(ROWS, ROWS + ROWS // 20))]
    assert kept(before, published(tmp_path, grown)) > 0.9


@pytest.mark.exhaustive
def test_one_changed_memento_leaves_most_chunks_as_they_were(
    rows: list[Row], before: dict[str, bytes], tmp_path: Path
) -> None:
    changed = list(rows)
    other = memento("another memento, of another length")
    changed[700] = {**rows[700], "mementos": [other, rows[700]["mementos"][1]]}
    after = published(tmp_path, changed)
    assert after.keys() == before.keys()
    assert all(after[name] != data for name, data in before.items())
    assert kept(before, after) > 0.9
