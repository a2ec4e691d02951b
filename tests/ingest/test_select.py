from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import SelectConfig
from pipeline.ingest.selection import select
from pipeline.ingest.sources import SourceError
from pipeline.run.outcomes import RejectReason

SCHEMA = {
    "file": pl.Int32,
    "row": pl.Int64,
    "content": pl.UInt64,
    "problem": pl.UInt64,
    "domain": pl.String,
    "source": pl.String,
    "verdict": pl.String,
    "detail": pl.String,
}


def facts(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """One file's facts; each row is fit, and its content and problem its own, unless it says otherwise."""
    fit = {"file": 0, "domain": "math", "source": "made", "verdict": "", "detail": ""}
    whole = [fit | {"row": i, "content": i, "problem": i} | row for i, row in enumerate(rows, start=1)]
    return pl.DataFrame(whole, SCHEMA)


def chosen(rows: list[dict[str, Any]], **config: Any) -> list[int]:
    """Numbers of the rows that are taken."""
    selection = select(facts(rows), ["a.jsonl"], SelectConfig.model_validate(config))
    return selection.filter(pl.col("verdict") == "")["row"].to_list()


def left_out(rows: list[dict[str, Any]], **config: Any) -> Counter[str]:
    selection = select(facts(rows), ["a.jsonl"], SelectConfig.model_validate(config))
    assert selection.filter((pl.col("verdict") != "") & (pl.col("detail") == "")).is_empty()
    return Counter(selection.filter(pl.col("verdict") != "")["verdict"].to_list())


def domains(**counts: int) -> list[dict[str, Any]]:
    return [{"domain": name} for name, count in counts.items() for _ in range(count)]


def by_domain(rows: list[dict[str, Any]], **config: Any) -> dict[str, int]:
    return dict(Counter(rows[n - 1]["domain"] for n in chosen(rows, **config)))


def test_of_the_same_trace_the_first_stays() -> None:
    rows = [{"content": 7}, {"content": 8}, {"content": 7}, {"content": 7}]
    selection = select(facts(rows), ["a.jsonl"], SelectConfig())
    assert selection["verdict"].to_list() == ["", "", "duplicate", "duplicate"]
    assert selection["detail"].to_list()[2:] == ["the same as a.jsonl:1"] * 2
    assert selection["occurrence"].to_list() == [1, 1, 2, 3]


def test_what_a_scan_has_rejected_stays_rejected_for_its_own_reason() -> None:
    unfit = {"verdict": "language", "detail": "Chinese"}
    rows = [{"content": 7} | unfit, {"content": 7} | unfit, {"content": None} | unfit, {"content": 8}]
    assert chosen(rows) == [4]
    assert left_out(rows) == {"language": 3}


def test_no_problem_has_more_answers_than_enough() -> None:
    rows = [{"problem": n % 3} for n in range(30)]
    taken = chosen(rows, answers_per_problem=4)
    assert Counter(rows[n - 1]["problem"] for n in taken) == {0: 4, 1: 4, 2: 4}
    assert left_out(rows, answers_per_problem=4) == {RejectReason.ENOUGH_ANSWERS: 18}


def test_answers_are_chosen_by_chance_and_not_by_their_order() -> None:
    rows = [{"problem": 1} for _ in range(100)]
    assert chosen(rows, answers_per_problem=10) != list(range(1, 11))


def test_duplicates_take_no_place_among_the_answers() -> None:
    rows = [{"problem": 1, "content": n // 2} for n in range(20)]
    assert len(chosen(rows, answers_per_problem=10)) == 10


def test_the_mix_holds_at_a_limit() -> None:
    rows = domains(math=500, science=500, code=500)
    mix = {"math": 0.54, "science": 0.27, "code": 0.19}
    assert by_domain(rows, mix=mix, limit=100) == {"math": 54, "science": 27, "code": 19}


def test_a_mix_without_a_limit_takes_all_that_keeps_the_shares() -> None:
    rows = domains(math=500, science=100, code=500)
    assert by_domain(rows, mix={"math": 2, "science": 1}) == {"math": 200, "science": 100}


def test_places_that_a_domain_cannot_fill_go_to_the_others_in_proportion() -> None:
    rows = domains(math=500, science=10, code=500)
    mix = {"math": 0.4, "science": 0.4, "code": 0.2}
    assert by_domain(rows, mix=mix, limit=100) == {"math": 60, "science": 10, "code": 30}


def test_domains_outside_the_mix_are_left_out_and_named() -> None:
    selection = select(facts(domains(math=2, logic=1)), ["a"], SelectConfig(mix={"math": 1}))
    assert selection["verdict"].to_list() == ["", "", "not_chosen"]
    assert selection["detail"].to_list()[2] == "select.mix has no domain logic"


@pytest.mark.parametrize(
    ("name", "hint"), [("maths", "did you mean math"), ("xyz", "use one of their names, or leave it out")]
)
def test_a_domain_of_the_mix_that_no_row_has_is_a_mistake(name: str, hint: str) -> None:
    message = f"select.mix names the domain {name}, but the fit rows have logic, math: {hint}"
    with pytest.raises(SourceError, match=message):
        chosen(domains(logic=3, math=3), mix={"logic": 1, name: 1})


def test_a_mix_of_nothing_is_nothing() -> None:
    assert chosen([{"verdict": "language", "detail": "x"}], mix={"math": 1}) == []


def test_the_same_seed_chooses_the_same_and_another_seed_others() -> None:
    rows: list[dict[str, Any]] = [{} for _ in range(100)]
    assert chosen(rows, limit=10, seed=1) == chosen(rows, limit=10, seed=1)
    assert chosen(rows, limit=10, seed=1) != chosen(rows, limit=10, seed=2)


def test_the_choice_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = [{"content": 31 * n} for n in range(100)]
    backwards = rows[::-1]
    taken = {rows[n - 1]["content"] for n in chosen(rows, limit=10)}
    assert taken == {backwards[n - 1]["content"] for n in chosen(backwards, limit=10)}


def test_the_choice_of_one_seed_is_the_same_on_every_machine_and_release() -> None:
    assert chosen([{} for _ in range(20)], limit=5, seed=42) == [2, 4, 8, 10, 18]


row = st.fixed_dictionaries(
    {
        "content": st.integers(0, 30),
        "problem": st.integers(0, 5),
        "domain": st.sampled_from(["math", "code", "logic"]),
        "verdict": st.sampled_from(["", "", "", "language"]),
    }
)


@given(
    st.lists(row, min_size=1, max_size=40),
    st.sampled_from([{}, {"math": 0.7, "code": 0.3}, {"math": 1, "code": 3, "logic": 1}]),
    st.sampled_from([None, 1, 2]),
    st.integers(1, 20),
)
def test_a_larger_limit_only_adds_and_no_place_stays_empty(
    rows: list[dict[str, Any]], mix: dict[str, float], answers: int | None, limit: int
) -> None:
    config = {"mix": mix, "answers_per_problem": answers}
    everything = select(facts(rows), ["a"], SelectConfig.model_validate({**config, "mix": {}}))
    fit = everything.filter(pl.col("verdict") == "")
    if mix:
        if set(mix) - set(fit["domain"]):
            return
        fit = fit.filter(pl.col("domain").is_in(list(mix)))
    some, more = chosen(rows, limit=limit, **config), chosen(rows, limit=limit + 1, **config)
    assert set(some) <= set(more) <= set(fit["row"].to_list())
    assert len(some) == min(limit, fit.height)
    assert some == sorted(some)


def test_a_mix_can_be_of_sources() -> None:
    rows = [{"source": name} for name in ("numina", "numina", "numina", "codeforces", "codeforces", "other")]
    mix = {"numina": 1.0, "codeforces": 2.0}
    taken = chosen(rows, mix=mix, mix_by="source")
    assert Counter(rows[row - 1]["source"] for row in taken) == {"numina": 1, "codeforces": 2}
    with pytest.raises(SourceError, match=r"names the source math, but the fit rows have codeforces"):
        chosen(rows, mix={"math": 1.0}, mix_by="source")
