"""A run in which nearly every trace is lost stops, says why, and not before that is sure."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.run.circuit_breaker import FEWEST_TRACES, CircuitBreaker, TooManyFailures
from pipeline.run.outcomes import Done, Failed, Outcome, Rejected, RejectReason

DONE = Done({})
UNWRITTEN = Rejected(RejectReason.NO_VALID_MEMENTO, "block 0: a heading")
UNFIT = Rejected(RejectReason.TOO_LONG_FOR_MODEL, "block 0")


def stops_at(outcomes: list[Outcome], most: float) -> int | None:
    """After how many outcomes a watch stops the run; None where it does not."""
    watch = CircuitBreaker(most)
    for number, outcome in enumerate(outcomes, start=1):
        try:
            watch.saw(outcome)
        except TooManyFailures:
            return number
    return None


def test_a_run_in_which_all_fails_stops_once_that_is_sure() -> None:
    assert stops_at([Failed("trace 1: no reply")] * 100, 0.5) == FEWEST_TRACES
    assert stops_at([UNWRITTEN] * 100, 0.5) == FEWEST_TRACES


def test_traces_that_the_data_is_to_blame_for_stop_nothing() -> None:
    assert stops_at([UNFIT] * 100, 0.0) is None


@given(
    st.lists(st.sampled_from([DONE, UNFIT, UNWRITTEN, Failed("trace 1: x")]), max_size=60), st.floats(0, 1)
)
def test_it_stops_at_the_first_trace_where_too_many_are_lost(outcomes: list[Outcome], most: float) -> None:
    lost = [isinstance(outcome, Failed) or outcome is UNWRITTEN for outcome in outcomes]
    shares = [(n, sum(lost[:n]) / n) for n in range(FEWEST_TRACES, len(lost) + 1)]
    assert stops_at(outcomes, most) == next((n for n, share in shares if share > most), None)


def test_at_a_rate_of_one_nothing_stops() -> None:
    assert stops_at([Failed("trace 1: x")] * 100, 1.0) is None


def test_the_message_names_the_commonest_error_without_its_trace_and_the_remedy() -> None:
    watch = CircuitBreaker(0.5)
    for number in range(FEWEST_TRACES - 1):
        watch.saw(Failed(f"trace {number}, block 2: the reply was cut after {number} s"))
    with pytest.raises(TooManyFailures, match="20 of the 20") as error:
        watch.add(1, Counter(["no endpoint answered"]))
    assert "most often: the reply was cut after 0 s (19 times)" in str(error.value)
    assert "run the same command to go on, or raise max_failure_rate" in str(error.value)
