"""The boundaries judged by reading stay in step with the texts that they were judged in."""

import polars as pl
import pytest

from benchmarks.detectors import agreement, gold, run, sample


def test_every_judged_boundary_lies_before_the_text_it_names() -> None:
    texts = [trace.reasoning for trace in sample()]
    for row in gold().iter_rows(named=True):
        following = " ".join(texts[row["trace"]][row["offset"] :][:60].split())
        assert following.startswith(row["following"])
        assert 0 < row["offset"] < len(texts[row["trace"]])
        assert row["label"] in (0, 1, 2, 3)


def test_each_trace_is_in_one_half_and_the_halves_are_of_one_size() -> None:
    halves = gold().select("trace", "half").unique()
    assert halves["trace"].is_unique().all()
    assert sorted(halves["half"]) == ["reporting"] * 6 + ["tuning"] * 6


def test_most_judged_boundaries_are_still_candidates() -> None:
    assert run()["judged boundaries that are no longer candidates"] < gold().height / 10


def test_agreement_counts_good_cuts() -> None:
    judged = pl.DataFrame({"label": [0, 2, 3, 1], "score": [0.0, 2.0, 1.0, 2.5]})
    figures = agreement(judged)
    assert (figures["precision"], figures["recall"], figures["F1"]) == (0.5, 0.5, 0.5)
    assert figures["pearson"] == pytest.approx(0.2911, abs=1e-3)
