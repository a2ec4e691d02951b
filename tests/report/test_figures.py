"""The figures of the card."""

from pathlib import Path

import pytest

from pipeline.report.figures import write_figures
from pipeline.report.stats import dataset_statistics, funnel
from tests.records.rows import memento, row
from tests.report.runs import finished_run

NAMES = [
    "blocks_per_trace.png",
    "block_and_memento_size.png",
    "compression_by_domain.png",
    "kv_cache.png",
    "funnel.png",
]


@pytest.mark.parametrize(
    "domains",
    [["math"], ["math", "code", "math"], [f"d{n}" for n in range(12)], ["_x", "$\\frac$", "a" * 99, ""]],
)
def test_figures_are_written_and_the_same_every_time(tmp_path: Path, domains: list[str]) -> None:
    run = finished_run(tmp_path, [row(f"t{n}", domain=domain) for n, domain in enumerate(domains)])
    statistics, rows = dataset_statistics(run, [0], threshold=8), funnel(run, [0])
    first = write_figures(statistics, rows, tmp_path / "a")
    again = write_figures(statistics, rows, tmp_path / "b")
    assert [picture.path.name for picture in first] == NAMES
    assert [p.path.read_bytes() for p in first] == [p.path.read_bytes() for p in again]
    assert all(picture.path.read_bytes().startswith(b"\x89PNG") for picture in first)


def test_other_data_gives_another_figure(tmp_path: Path) -> None:
    few = finished_run(tmp_path / "few", [row()])
    many = finished_run(
        tmp_path / "many",
        [row(f"t{n}", mementos=[memento("x", tokens=3 + n), memento("y", tokens=9)]) for n in range(2)],
    )
    for run, folder in ((few, "a"), (many, "b")):
        write_figures(dataset_statistics(run, [0], threshold=8), funnel(run, [0]), tmp_path / folder)
    for name in NAMES:
        assert (tmp_path / "a" / name).read_bytes() != (tmp_path / "b" / name).read_bytes()


def test_no_trace_gives_no_figure(tmp_path: Path) -> None:
    run = finished_run(tmp_path, [])
    assert write_figures(dataset_statistics(run, [0], threshold=8), funnel(run, [0]), tmp_path / "f") == []
    assert not (tmp_path / "f").exists()
