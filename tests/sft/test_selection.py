"""The checkpoint that is chosen is the one of least loss, unless its form is worse than chance explains."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sft.selection import best_step, evaluations_of, format_counts

LOSSES = st.floats(0, 10)
COUNTS = st.integers(0, 16)


def evaluation(step: int, loss: float, well_formed: int | None = None, of: int = 16) -> dict[str, float]:
    told: dict[str, float] = {"step": step, "loss": loss}
    return told if well_formed is None else told | {"well_formed": well_formed, "problems": of}


@pytest.mark.parametrize("fewer", [1, 2, 3])
def test_a_few_of_sixteen_responses_do_not_outweigh_a_loss(fewer: int) -> None:
    assert best_step([evaluation(10, 0.5, 16), evaluation(20, 0.1, 16 - fewer)]) == 20


def test_what_chance_does_not_explain_outweighs_any_loss() -> None:
    assert best_step([evaluation(10, 0.5, 16), evaluation(20, 0.1, 12)]) == 10
    assert best_step([evaluation(10, 0.5, 4), evaluation(20, 0.1, 0)]) == 10


def test_more_problems_tell_smaller_differences_apart() -> None:
    few = [evaluation(10, 0.5, 16, of=16), evaluation(20, 0.1, 15, of=16)]
    many = [evaluation(10, 0.5, 320, of=320), evaluation(20, 0.1, 300, of=320)]
    assert (best_step(few), best_step(many)) == (20, 10)


def test_the_middle_of_the_scale_is_compared_more_loosely_than_its_ends() -> None:
    assert best_step([evaluation(10, 0.5, 10), evaluation(20, 0.1, 6)]) == 20
    assert best_step([evaluation(10, 0.5, 10), evaluation(20, 0.1, 4)]) == 10


def test_of_equal_losses_the_first_step_is_taken() -> None:
    assert best_step([evaluation(10, 0.5, 16), evaluation(20, 0.5, 16), evaluation(30, 0.6, 16)]) == 10


def test_a_loss_that_is_no_number_is_not_chosen() -> None:
    assert best_step([evaluation(10, math.nan, 16), evaluation(20, 9.0, 16)]) == 20
    assert best_step([evaluation(10, math.nan)]) == 10


def test_without_responses_loss_alone_decides() -> None:
    assert best_step([evaluation(10, 0.5), evaluation(20, 0.1), evaluation(30, 0.2)]) == 20
    # One of which none are known, since the run was killed, may be as good as any.
    assert best_step([evaluation(10, 0.5, 16), evaluation(20, 0.1)]) == 20


def test_an_unsure_best_does_not_hide_a_sure_one() -> None:
    """One of one is the largest share, though of little weight."""
    assert (
        best_step([evaluation(10, 0.1, 2, of=16), evaluation(20, 0.5, 1, of=1), evaluation(30, 0.4, 15)])
        == 30
    )


@given(st.lists(st.tuples(LOSSES, COUNTS), min_size=1, max_size=6))
def test_the_chosen_step_is_never_worse_than_another_in_both(measured: list[tuple[float, int]]) -> None:
    evaluations = [evaluation(step, loss, count) for step, (loss, count) in enumerate(measured)]
    loss, count = measured[best_step(evaluations)]
    assert not any(other < loss and others >= count for other, others in measured)


def test_counts_are_kept_by_step_and_shares_of_old_runs_are_left_out(tmp_path: Path) -> None:
    assert format_counts(tmp_path) == {}
    kept = {"10": 0.9375, "20": {"well_formed": 15, "problems": 16}}
    (tmp_path / "format_rates.json").write_text(json.dumps(kept))
    counts = format_counts(tmp_path)
    history = [{"step": 10, "eval_loss": 0.5}, {"step": 15, "loss": 0.4}, {"step": 20, "eval_loss": 0.3}]
    assert evaluations_of(history, counts) == [evaluation(10, 0.5), evaluation(20, 0.3, 15)]
