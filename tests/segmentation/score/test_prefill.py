"""Scores from a trace that is only read: every boundary is read once, at its own place, in order of doubt."""

import asyncio
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import LlmConfig, ScoreConfig
from pipeline.llm.client import Client
from pipeline.llm.concurrency import ConcurrencyLimit
from pipeline.llm.session import LlmSession
from pipeline.llm.templates import load_prompts
from pipeline.run.outcomes import ShardResult
from pipeline.segmentation.score.prefill import MOST_POINTS, scores_by_rank, stretches
from pipeline.segmentation.score.questions import Places
from pipeline.segmentation.score.stage import MODEL_REASON, SCORE
from tests.segmentation.score.test_cues import cues_of
from tests.segmentation.score.test_score_stage import SENTENCES, rows
from tests.servers.stub_llm import StubLlm
from tests.through_stages import passed

LONG = [f"Step {n} gives {n * n} apples. " for n in range(200)]


def read(
    stub: StubLlm, *traces: list[str], detector: str = "llm", window: int | None = None, **config: Any
) -> ShardResult:
    async def read_all() -> ShardResult:
        async with Client(LlmConfig(**config), [stub.endpoint], "stub", None) as client:
            session = LlmSession(client, load_prompts(), window, 0, ConcurrencyLimit(4))
            table: pa.Table = rows(*traces)
            score = ScoreConfig(detector=detector, form="prefill")
            return await passed(SCORE, table, session, score=score)

    return asyncio.run(read_all())


@given(st.lists(st.integers(1, 300), min_size=2, max_size=60), st.integers(128, 2_000))
def test_every_boundary_is_in_exactly_one_stretch_that_shows_it(tokens: list[int], limit: int) -> None:
    sentences = ["word " * size for size in tokens]
    ends = [sum(map(len, sentences[: n + 1])) for n in range(len(sentences))]
    row = {"reasoning": "".join(sentences), "sentence_ends": ends, "sentence_tokens": tokens}
    places = Places.of(row)
    parts = stretches(places, limit)
    assert [boundary for part in parts for boundary in part.boundaries] == list(range(len(tokens) - 1))
    for part in parts:
        assert part.start <= part.boundaries.start < part.end <= len(tokens)
        assert sum(tokens[part.start : part.end]) <= limit or part.end - part.start == 1


@given(st.lists(st.floats(0, 12), min_size=1, max_size=50))
def test_scores_keep_the_order_of_the_doubts_and_stay_in_bounds(doubts: list[float]) -> None:
    scores = scores_by_rank(doubts)
    assert all(0 <= score <= MOST_POINTS for score in scores)
    for one, other in zip(range(len(doubts)), range(1, len(doubts)), strict=False):
        assert (doubts[one] < doubts[other]) == (scores[one] < scores[other])


def test_one_prompt_per_trace_scores_every_boundary_and_asks_nothing():
    with StubLlm() as stub:
        (done,) = read(stub, SENTENCES).done.to_pylist()
    (seen,) = stub.requests
    assert seen.body["max_tokens"] == 1
    assert seen.body["messages"][-1]["content"].endswith("".join(SENTENCES))
    assert sorted(done["boundary_scores"]) == [0.0, 1.0, 2.0, 3.0]
    assert done["boundary_reasons"] == [MODEL_REASON] * 4


def test_hybrid_keeps_what_the_rules_are_sure_of():
    cues = cues_of(SENTENCES)
    with StubLlm() as stub:
        (done,) = read(stub, SENTENCES, detector="hybrid").done.to_pylist()
    for cue, score, reason in zip(cues, done["boundary_scores"], done["boundary_reasons"], strict=True):
        assert reason == (cue.rule if cue.sure else MODEL_REASON)
        assert not cue.sure or score == cue.score


def test_a_trace_longer_than_the_window_is_read_in_stretches():
    with StubLlm(max_model_len=2_500) as stub:
        (done,) = read(stub, LONG, window=2_500).done.to_pylist()
    assert len(stub.requests) > 1
    assert len(done["boundary_scores"]) == len(LONG) - 1


def test_an_endpoint_that_tells_nothing_of_its_prompt_fails_the_trace_with_the_reason():
    class Silent(StubLlm):
        """Leaves out what it does not know, as other servers than vLLM do."""

        def _completion(self, body: dict[str, Any], fault: str | None) -> Any:
            body.pop("prompt_logprobs")
            return super()._completion(body, fault)

    with Silent() as stub:
        failed = read(stub, SENTENCES).failed.to_pylist()
    assert "score.form prefill needs and only vLLM gives" in failed[0]["error"]


@pytest.mark.parametrize("text", ["naïve → 3 ✓", "日本 🙂🙂 done. ", "a\r\nb\tc"])
def test_any_text_is_found_again_among_the_tokens(text: str):
    with StubLlm() as stub:
        result = read(stub, [f"{text} holds. ", f"So {text}. ", text])
    assert result.failed.num_rows == 0
