from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import BuildConfig
from pipeline.ingest.filters import Filters, Utf8, content_hash, trace_id
from pipeline.ingest.layouts import RawTrace
from pipeline.ingest.loops import looped_share
from pipeline.ingest.row_reader import Row
from pipeline.run.outcomes import Rejected, RejectReason
from pipeline.text.tokens import token_counter
from schemas.openmementos import SPECIAL_TOKENS

TRACE = RawTrace("1+1?", "\nLet me see.\n", "It is 2.", "math", "made", None)


def unfit(trace: RawTrace, **select: object) -> RejectReason | None:
    why = Filters.of(BuildConfig.model_validate({"name": "test", "select": select})).why_unfit(
        trace, Utf8.of(trace)
    )
    assert why is None or why.detail
    return None if why is None else why.reason


def test_a_good_trace_is_fit() -> None:
    assert unfit(TRACE) is None


def test_a_special_token_in_any_text_is_noticed() -> None:
    for token in SPECIAL_TOKENS:
        for part in ("problem", "reasoning", "answer"):
            assert unfit(TRACE._replace(**{part: f"so {token} it"})) is RejectReason.SPECIAL_TOKEN


@pytest.mark.parametrize(
    "token",
    ["<|eot_id|>", "<｜end▁of▁sentence｜>", "</s>", "<start_of_turn>", "<end_of_turn>", "[EOS]", "<bos>"],
)
def test_markers_of_other_chat_templates_are_noticed(token: str) -> None:
    trace = TRACE._replace(answer=f"2{token}")
    why = Filters.of(BuildConfig(name="test")).why_unfit(trace, Utf8.of(trace))
    assert why == Rejected(RejectReason.SPECIAL_TOKEN, f"{token} in the answer")


def test_a_lone_surrogate_in_any_text_is_noticed() -> None:
    for part in ("problem", "reasoning", "answer", "domain", "source"):
        assert unfit(TRACE._replace(**{part: "a \ud800 b"})) is RejectReason.INVALID_UNICODE


def test_another_language_is_unfit_unless_any_is_wanted() -> None:
    chinese = TRACE._replace(reasoning="首先，我们需要找到能被一到十的所有数整除的最小的数。")
    assert unfit(chinese) is RejectReason.LANGUAGE
    assert unfit(chinese, languages="any") is None


@settings(deadline=None)  # the first call loads the vocabulary
@given(
    st.text(alphabet="ab .\né1", max_size=60).map(lambda text: text * 3),
    st.integers(0, 40),
    st.integers(1, 40),
)
def test_token_bounds_hold_exactly(reasoning: str, fewest: int, most: int) -> None:
    tokens = token_counter("cl100k_base")([reasoning])[0]
    reason = unfit(TRACE._replace(reasoning=reasoning), min_tokens=fewest, max_tokens=max(fewest, most))
    assert (reason is RejectReason.TOO_SHORT) == (tokens < fewest)
    assert (reason is RejectReason.TOO_LONG) == (tokens > max(fewest, most))


def test_bounds_of_a_long_text_are_decided_by_its_tokens() -> None:
    long = TRACE._replace(reasoning="So we add one more to it. " * 1_000)
    tokens = token_counter("cl100k_base")([long.reasoning])[0]
    assert unfit(long, min_tokens=tokens, max_tokens=tokens, max_looped=None) is None
    assert unfit(long, min_tokens=tokens + 1) is RejectReason.TOO_SHORT
    assert unfit(long, max_tokens=tokens - 1) is RejectReason.TOO_LONG


GOOD = "".join(f"Now step {n} gives {n * n} and {n + 7}, which is {n % 5} by five.\n" for n in range(60, 200))
LOOPS = {
    "a word": "hmm, " * 2_000,
    "a line": "Hold on, let me look at it once more.\n" * 400,
    "Chinese": "等等，我再想一想这个问题。" * 500,
    "some paragraphs": "".join(f"Try {n}: it is {n * 3} or {n * 5}?\n\n" for n in range(40)) * 12,
    "one that begins late": GOOD + "So it is 12, (I say 12, " * 400,
    "white space": "So.\n" + " " * 9_000 + "It is.",
}
NO_LOOPS = {
    "steps": GOOD,
    "a table": "".join(f"| {n} | {n * n} | odd |\n" for n in range(1, 900, 2)),
    "a program in four drafts": GOOD[:4_000] * 4,
    "a sentence said often": "".join(
        f"Case {n}.\nHold on, let me look at it once more.\n" for n in range(400)
    ),
    "sentences in any order": "".join(
        Random(3).choices(["先算和。", "再除以三。", "余数为零。", "检查一下。"], k=900)
    ),
    "short": "Yes. " * 60,
    "a refrain": "".join(
        GOOD[:400] + "".join(f"Then {n} and {n * k} make {n + n * k}.\n" for n in range(150))
        for k in range(2, 12)
    ),
}


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS)
def test_a_reasoning_that_goes_round_is_left_out_unless_all_are_wanted(text: str) -> None:
    trace = TRACE._replace(reasoning=text)
    assert unfit(trace, languages="any") is RejectReason.REPETITIVE
    assert unfit(trace, languages="any", max_looped=None) is None


@pytest.mark.parametrize("text", NO_LOOPS.values(), ids=NO_LOOPS)
def test_what_only_comes_back_is_no_loop(text: str) -> None:
    assert unfit(TRACE._replace(reasoning=text), languages="any", max_looped=0) is None


def test_a_loop_may_be_part_of_a_reasoning_and_its_share_is_told() -> None:
    trace = TRACE._replace(reasoning=GOOD + "So it is 12, (I say 12, " * 100)
    assert unfit(trace, max_looped=0.3) is None
    why = Filters.of(BuildConfig(name="test")).why_unfit(trace, Utf8.of(trace))
    assert why == Rejected(RejectReason.REPETITIVE, "22% of the reasoning is a loop")


REAL = Path(__file__).parents[3] / "shared" / "data" / "real-traces.parquet"


@pytest.mark.skipif(not REAL.exists(), reason="real traces are not part of the project")
def test_of_real_traces_only_those_that_never_end_are_loops() -> None:
    import pyarrow.parquet as pq

    answers = [turns[-1]["value"] for turns in pq.read_table(REAL)["conversations"].to_pylist()]
    shares = [looped_share(answer) for answer in answers]
    assert [number for number, share in enumerate(shares) if share > 0.2] == [124, 125, 136, 140]
    assert not any(0 < share < 0.5 for share in shares)


def test_bounds_that_nothing_can_meet_are_refused() -> None:
    with pytest.raises(ValueError, match=r"max_tokens \(10\) is below min_tokens \(20\)"):
        unfit(TRACE, min_tokens=20, max_tokens=10)


def test_the_id_depends_on_all_texts_and_on_nothing_else() -> None:
    same = TRACE._replace(domain="code", source="other", difficulty=3)
    assert content_hash(Utf8.of(same)) == content_hash(Utf8.of(TRACE))
    others = [TRACE._replace(**{part: "x"}) for part in ("problem", "reasoning", "answer")]
    shifted = TRACE._replace(problem="1+1?\n", reasoning="Let me see.\n")
    assert len({content_hash(Utf8.of(trace)) for trace in (TRACE, *others, shifted)}) == 5


def test_ids_are_sixteen_hex_digits_and_tell_repetitions_apart() -> None:
    assert trace_id(255, 1) == "00000000000000ff"
    assert trace_id(255, 2) == "00000000000000ff-2"
    assert trace_id(None, 1) == ""


def test_a_long_or_invalid_detail_can_still_be_written() -> None:
    rejected = Rejected(RejectReason.UNKNOWN_LAYOUT, "the columns are \ud800" + "x" * 10_000)
    detail = Filters.of(BuildConfig(name="test")).summary(Row(1, 0, rejected, {"\ud800": 1})).detail
    assert detail.startswith("the columns are ?xxx")
    assert len(detail.encode()) < 1_000
