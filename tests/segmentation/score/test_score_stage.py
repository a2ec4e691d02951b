from typing import Any

import pyarrow as pa
import pytest

from pipeline.config import ScoreConfig
from pipeline.llm.concurrency import ConcurrencyLimit
from pipeline.llm.model import (
    Choice,
    Choices,
    ContextTooLong,
    EndpointRefused,
    Reply,
    ReplyError,
    Request,
    Usage,
)
from pipeline.llm.session import LlmSession
from pipeline.llm.templates import load_prompts
from pipeline.run.outcomes import ShardResult
from pipeline.segmentation.score.stage import MODEL_REASON, SCORE, expected_scores
from tests.segmentation.score.test_cues import cues_of
from tests.through_stages import through

SENTENCES = ["We want x.\n\n", "So x = 4: ", "it is even.\n\n", "Apples cost money. ", "Pears are green."]


class Scorer:
    """Says 2 for every place, with a probability of a half, 3 with the other; keeps what it was asked."""

    def __init__(self, error: Exception | None = None, at: int = 0) -> None:
        self.asked: list[Request] = []
        self._error = error
        self._at = at

    async def ask(self, request: Request) -> Reply:
        self.asked.append(request)
        if self._error is not None and len(self.asked) > self._at:
            raise self._error
        shares = {"0": 0.0, "1": 0.0, "2": 0.5, "3": 0.5}
        if isinstance(request.constraint, Choice):
            return Reply("2", "m", 1, Usage(), probabilities=shares)
        assert isinstance(request.constraint, Choices)
        names = request.constraint.labels
        row = {name + digit: share for name in names for digit, share in shares.items()}
        return Reply(" ".join(f"{name}2" for name in names), "m", 1, Usage(), probabilities=row)


def rows(*sentences: list[str]) -> pa.Table:
    return pa.Table.from_pylist([row(number, parts) for number, parts in enumerate(sentences)])


def row(number: int, sentences: list[str]) -> dict[str, Any]:
    ends = [sum(map(len, sentences[: i + 1])) for i in range(len(sentences))]
    return {
        "trace_id": f"t{number}",
        "origin": f"f:{number}",
        "problem": "What is x?",
        "reasoning": "".join(sentences),
        "sentence_ends": ends,
        "sentence_tokens": [5] * len(sentences),
    }


def scored(table: pa.Table, detector: str, model: Scorer | None, window: int = 4) -> ShardResult:
    session = LlmSession(model, load_prompts(), None, 0, ConcurrencyLimit(4)) if model else None
    return through(SCORE, table, session, score=ScoreConfig(detector=detector, window=window))


def test_rules_alone_ask_nothing_and_score_every_boundary():
    (done,) = scored(rows(SENTENCES), "cues", None).done.to_pylist()
    cues = cues_of(SENTENCES)
    assert done["boundary_scores"] == [cue.score for cue in cues]
    assert done["boundary_reasons"] == [cue.rule for cue in cues]


@pytest.mark.parametrize(("window", "requests"), [(1, 4), (3, 2), (4, 1)])
def test_the_model_is_asked_about_every_boundary_by_the_detector_llm(window, requests):
    model = Scorer()
    (done,) = scored(rows(SENTENCES), "llm", model, window).done.to_pylist()
    assert done["boundary_scores"] == [2.5] * 4
    assert done["boundary_reasons"] == [MODEL_REASON] * 4
    assert len(model.asked) == requests


def test_hybrid_asks_only_where_the_rules_are_not_sure():
    model = Scorer()
    result = scored(rows(SENTENCES), "hybrid", model, window=1)
    (done,) = result.done.to_pylist()
    sure = [cue.sure for cue in cues_of(SENTENCES)]
    assert 0 < sure.count(True) < 4
    assert [reason != MODEL_REASON for reason in done["boundary_reasons"]] == sure
    assert len(model.asked) == result.counters["boundaries_asked"] == sure.count(False)


def test_a_question_about_one_shows_the_reasoning_up_to_its_boundary_and_quotes_what_follows():
    model = Scorer()
    scored(rows(SENTENCES), "llm", model, window=1)
    asked = model.asked[1].messages[1].content
    assert "".join(SENTENCES[:2]) in asked
    assert '"it is even."' in asked
    assert "Apples" not in asked


def test_a_question_about_several_names_each_place_by_what_follows_it():
    model = Scorer()
    scored(rows(SENTENCES), "llm", model, window=2)
    asked = model.asked[0].messages[1].content
    assert 'A: "So x = 4:' in asked
    assert 'B: "it is even.' in asked
    assert "C:" not in asked
    assert "".join(SENTENCES[:4]) in asked


def test_a_digit_of_a_row_scores_the_boundary_of_its_label():
    shares = {name + digit: 0.0 for name in "AB" for digit in "0123"} | {"A1": 1.0, "B2": 0.25, "B3": 0.75}
    reply = Reply("A1 B3", "m", 1, Usage(), probabilities=shares)
    assert expected_scores(reply, ("A", "B")) == [1.0, 2.75]
    assert expected_scores(Reply("A1 B3", "m", 1, Usage()), ("A", "B")) == [1.0, 3.0]


def test_a_trace_with_a_boundary_without_a_score_is_failed_and_the_others_are_not():
    unusable = ReplyError("trace t0, boundary 0", "not one of 0, 1, 2, 3", ["banana"])
    result = scored(rows(SENTENCES, ["Only one."]), "llm", Scorer(unusable))
    assert result.failed.column("trace_id").to_pylist() == ["t0"]
    assert result.failed.column("replies").to_pylist() == [["banana"]]
    assert result.done.column("boundary_scores").to_pylist() == [[]]


def test_a_trace_that_no_prompt_fits_is_rejected():
    result = scored(rows(SENTENCES), "llm", Scorer(ContextTooLong("trace t0", "9000 of 8192")))
    assert result.rejected.column("reason").to_pylist() == ["too_long_for_model"]


def test_boundaries_that_are_too_far_apart_for_the_model_are_asked_about_apart():
    class Small(Scorer):
        async def ask(self, request: Request) -> Reply:
            if len(request.messages[1].content) > 2_500:
                raise ContextTooLong(request.label, "more than it sees")
            return await super().ask(request)

    model = Small()
    # Nothing told the stage how much this model sees.
    trace = row(0, [f"Part {n} of it. {'and so on ' * 120}\n\n" for n in range(5)])
    trace["sentence_tokens"] = [100] * 5
    (done,) = scored(pa.Table.from_pylist([trace]), "llm", model).done.to_pylist()
    assert done["boundary_scores"] == [2.5] * 4
    assert [request.constraint for request in model.asked] == [Choices(("A",), ("0", "1", "2", "3"))] * 4


def test_an_endpoint_that_refuses_stops_the_shard():
    with pytest.raises(EndpointRefused):
        scored(rows(SENTENCES, SENTENCES), "llm", Scorer(EndpointRefused("401", "set the key")))


def test_without_logprobs_the_digit_is_the_score():
    assert expected_scores(Reply("3", "m", 1, Usage()), ("",)) == [3.0]
