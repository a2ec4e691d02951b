import pytest

from pipeline.report.rounds import round_points
from pipeline.run.outcomes import Done, Failed
from tests.commands.runs import memento, partitioned_run, write_mementos


def test_points_are_counted_by_round_over_all_mementos(tmp_path):
    run, _ = partitioned_run(tmp_path / "run")
    # Round 0 has 5 points and is not kept, round 1 has 8 and is; the rubric is the same in both.
    write_mementos(run, [Done({"mementos": [memento(n) for n in range(3)]}), Failed("down")])
    first, second = round_points(run, [0], threshold=8)
    assert (first.round, first.mementos, first.judged, first.score_mean, first.kept) == (0, 3, 3, 5, 0)
    assert (second.round, second.mementos, second.score_mean, second.kept) == (1, 3, 8, 3)
    assert (first.passed, second.passed) == (0, 1)
    assert second.criteria["formulas"] == 3
    assert second.criteria["result_first"] == 0


def test_a_round_that_was_not_judged_has_no_points(tmp_path):
    run, _ = partitioned_run(tmp_path / "run")
    unjudged = memento(0)
    unjudged["rounds"][0] |= {"score": None, "rubric": None}
    write_mementos(run, [Done({"mementos": [unjudged] * 3}), Failed("down")])
    first, second = round_points(run, [0], threshold=8)
    assert (first.mementos, first.judged, first.score_mean) == (3, 0, None)
    assert second.score_mean == pytest.approx(8)


def test_without_mementos_there_are_no_rounds(tmp_path):
    run, _ = partitioned_run(tmp_path / "run")
    assert round_points(run, [0], threshold=8) == []
