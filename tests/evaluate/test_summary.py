"""What is counted of responses: by problem, with what chance may do, and compared problem by problem."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.evaluate.figures import bars, draw_accuracy, draw_dose_response
from pipeline.evaluate.generations import SCHEMA
from pipeline.evaluate.register_machine import Carried, share_of_carried
from pipeline.evaluate.summary import comparisons, summaries
from pipeline.evaluate.tables import carried_table, results_table
from pipeline.proportions import wilson_interval


def responses(model: str, mode: str, right: str, **columns: Any) -> list[dict[str, Any]]:
    """A response to each problem of a task; right: a 1 or a 0 for each."""
    kept = {
        "task": "t",
        "kind": "math",
        "group": "",
        "sample": 0,
        "form_fault": "",
        "seconds": 1.0,
        "tokens": 10,
    }
    told = kept | {"peak_tokens": 20, "area_tokens": 100, "held": []}
    return [
        told
        | {
            "model": model,
            "mode": mode,
            "problem": str(at),
            "fault": "" if one == "1" else "wrong",
            "said": one,
        }
        | columns
        for at, one in enumerate(right)
    ]


def table(*parts: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([row for part in parts for row in part], SCHEMA)


def test_accuracy_has_the_ends_of_its_interval_also_where_all_are_right() -> None:
    found = summaries(table(responses("m", "vanilla", "1" * 127 + "0"), responses("m", "memento", "1" * 128)))
    assert [(each.accuracy, each.accuracy_low, each.accuracy_high) for each in found] == [
        (pytest.approx(127 / 128), *wilson_interval(127, 128)),
        (1.0, *wilson_interval(128, 128)),
    ]
    text = results_table(found)
    assert "| m | vanilla | 99.2 % [95.7, 99.9] |" in text
    assert "| m | memento | 100.0 % [97.1, 100.0] |" in text
    assert {"accuracy_low", "accuracy_high"} < found[0].as_json().keys()


def test_a_problem_counts_once_however_often_it_is_asked() -> None:
    (found,) = summaries(
        table(*(responses("m", "vanilla", "1" * 9 + "0", sample=sample) for sample in range(4)))
    )
    assert (found.problems, found.responses) == (10, 40)
    assert (found.accuracy_low, found.accuracy_high) == pytest.approx(wilson_interval(9, 10))


def test_responses_that_differ_count_for_more_than_their_problems() -> None:
    twice = table(responses("m", "vanilla", "1" * 50), responses("m", "vanilla", "0" * 50, sample=1))
    (found,) = summaries(twice)
    assert (found.accuracy_low, found.accuracy_high) == pytest.approx(wilson_interval(50, 100))


def test_modes_are_compared_with_vanilla_and_models_with_the_first() -> None:
    found = comparisons(
        table(
            responses("a", "vanilla", "1100"),
            responses("a", "memento", "1010"),
            responses("b", "memento", "1111"),
            responses("b", "restart", "0000"),
        )
    )
    told = {(each.model, each.mode, each.than_model, each.than_mode): each.difference.mean for each in found}
    assert told == {("a", "memento", "a", "vanilla"): 0.0, ("b", "memento", "a", "memento"): 0.5}
    # The first of those that were asked in that mode.
    others = [responses("a", "vanilla", "1"), responses("b", "memento", "1"), responses("c", "memento", "1")]
    assert [each.than_model for each in comparisons(table(*others))] == ["b"]
    text = results_table(summaries(table(responses("a", "vanilla", "1"))), found)
    assert "- a: memento − vanilla: +0.0 [-56.6, +56.6] points on the same 4 problems" in text
    assert "- b, memento − a, memento: +50.0 [" in text


def test_only_problems_that_both_were_asked_are_compared() -> None:
    two = responses("a", "memento", "0011")[1:]
    (found,) = comparisons(table(responses("a", "vanilla", "100"), two))
    assert found.problems == 2
    assert found.difference.mean == pytest.approx(0.5)
    assert found.as_json()["difference"].keys() == {"mean", "error", "low", "high"}


def test_registers_of_one_response_count_together() -> None:
    right, wrong = (Carried("c", stated=False, is_right=is_right) for is_right in (True, False))
    named = Carried("a", stated=True, is_right=True)
    found = share_of_carried([[right] * 5, [wrong] * 5, [named], []], stated=False)
    assert found is not None
    assert (found.right, found.of, found.share) == (5, 10, 0.5)
    assert (found.low, found.high) == pytest.approx(wilson_interval(1, 2))
    assert share_of_carried([[right]], stated=True) is None
    text = carried_table({("m", "memento"): [[named, right]]})
    assert "| m | memento | 100.0 % [20.7, 100.0] of 1 | 100.0 % [20.7, 100.0] of 1 |" in text


def test_error_bars_reach_to_the_ends_of_intervals() -> None:
    below, above = bars([0.9, 1.0], [0.8, 0.97], [0.95, 1.0])
    assert below == pytest.approx([10, 3])
    assert above == pytest.approx([5, 0])


def test_figures_show_the_intervals(tmp_path: Path) -> None:
    draw_accuracy(summaries(table(responses("m", "vanilla", "11"))), tmp_path / "accuracy.svg")
    draw_dose_response({"m": {0: (8, 8), 1: (0, 8)}}, tmp_path / "doses.svg")
    for name in ("accuracy", "doses"):
        assert "LineCollection" in (tmp_path / f"{name}.svg").read_text()
