"""Columns that are taken for a part by a name that only resembles it are told of."""

import pytest

from pipeline.config import SourceConfig
from pipeline.ingest.columns import layout_of
from pipeline.ingest.layouts import Layout


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("problem response", ""),
        ("conversations domain", ""),
        (
            "question output",
            "reading the problem from `question`, the response from `output`; map others with source.columns",
        ),
        (
            "prompt question completion",
            "reading the problem from `question`, the response from `completion`; map others with "
            "source.columns",
        ),
        (
            "problem generations correctness_llama",
            "reading several answers a row from `generations`, only those that `correctness_llama` confirms; "
            "map others with source.columns",
        ),
    ],
)
def test_names_that_only_resemble_a_parts_are_told_in_one_line(names: str, told: str) -> None:
    layout = layout_of(names.split(), SourceConfig())
    assert isinstance(layout, Layout)
    assert layout.told == told


def test_a_column_that_the_config_maps_needs_no_telling() -> None:
    layout = layout_of(["question", "response"], SourceConfig(columns={"problem": "question"}))
    assert isinstance(layout, Layout)
    assert layout.told == ""
