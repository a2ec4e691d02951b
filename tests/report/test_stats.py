"""Statistics and funnel of a run."""

from pathlib import Path

import pytest

from pipeline.report.stats import dataset_statistics, funnel
from tests.records.rows import memento, row
from tests.report.runs import finished_run


def test_figures_are_those_of_the_rows(tmp_path: Path) -> None:
    short = [memento("a", tokens=5, scores=(9,)), memento("b", tokens=5, scores=(6, 9))]
    long = [memento("a", tokens=4, scores=(7, 6)), memento("b", tokens=6, scores=(8, 8))]
    run = finished_run(
        tmp_path,
        [row("t0", mementos=short, block_tokens=[30, 10])],
        [row("t1", mementos=long, block_tokens=[20, 60]), row("t2", mementos=long, domain="code")],
    )
    statistics = dataset_statistics(run, [0, 1], threshold=8)
    math, code = statistics.by_domain
    assert (math.domain, math.traces, math.sentences, math.blocks) == ("math", 2, 8, 4)
    assert (math.blocks_mean, math.blocks_median, math.sentences_mean) == (2, 2, 4)
    assert (math.block_tokens, math.block_tokens_mean, math.block_tokens_median) == (120, 30, 25)
    assert (math.memento_tokens, math.memento_tokens_mean, math.memento_tokens_median) == (20, 5, 5)
    assert (math.trace_tokens_before, math.trace_tokens_after, math.compression) == (60, 10, 6)
    assert math.score_mean == pytest.approx((9 + 9 + 7 + 8) / 4)
    assert (math.passed_first, math.passed_last) == (0.5, 0.75)
    assert (code.domain, code.traces) == ("code", 1)
    assert (statistics.overall.domain, statistics.overall.traces) == ("all", 3)
    assert statistics.overall.blocks == 6


def test_only_findings_of_the_kept_round_are_counted(tmp_path: Path) -> None:
    mementos = [memento("a", checks=["heading"]), memento("b", checks=["heading", "planning"])]
    mementos[0]["rounds"][0]["checks"] = ["number_not_in_block"]  # the round that was not kept
    run = finished_run(tmp_path, [row(mementos=mementos)])
    assert dataset_statistics(run, [0], threshold=8).overall.checks == {"heading": 2, "planning": 1}


def test_findings_are_counted_by_domain(tmp_path: Path) -> None:
    unclean = [memento("a", checks=["heading"]), memento("b", checks=["heading", "planning"])]
    rows = [
        row("t0", mementos=unclean),
        row("t1", mementos=[unclean[0], memento("c")], domain="code"),
        row("t2", domain="code"),
    ]
    summed = dataset_statistics(finished_run(tmp_path, rows), [0], threshold=8)
    found = {domain.domain: domain.checks for domain in (*summed.by_domain, summed.overall)}
    assert found == {
        "math": {"heading": 2, "planning": 1},
        "code": {"heading": 1},
        "all": {"heading": 3, "planning": 1},
    }


def test_no_trace_gives_no_mean_and_no_error(tmp_path: Path) -> None:
    run = finished_run(tmp_path, [])
    for shards in ([], [0]):
        statistics = dataset_statistics(run, shards, threshold=8)
        assert (statistics.overall.traces, statistics.by_domain) == (0, ())
        assert statistics.overall.compression is None
        assert statistics.overall.passed_last is None


def test_the_funnel_adds_up_over_shards_and_names_every_reason(tmp_path: Path) -> None:
    run = finished_run(
        tmp_path,
        [row("t0"), row("t1", answer="<think>")],
        [row("t2")],
        refused=["language", "language", "no_answer"],
    )
    ingest, records = funnel(run, [0, 1])
    assert (ingest.stage, ingest.rows_in, ingest.rows_out) == ("ingest", 6, 3)
    assert ingest.rejected == {"language": 2, "no_answer": 1}
    assert (records.stage, records.rows_in, records.rows_out) == ("records", 3, 2)
    assert records.rejected == {"check_failed": 1}
    assert (ingest.failed, records.failed) == (0, 0)
