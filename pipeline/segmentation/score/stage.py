"""The score stage: how well a trace could be interrupted at each boundary, by rules, by a model, or both."""

from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from pipeline.config import BuildConfig, ScoreConfig
from pipeline.llm.context_window import SHORTEST, fitting, shown_tokens
from pipeline.llm.model import Choice, Choices, ContextTooLong, Reply, Request
from pipeline.llm.session import LlmSession, together, what_replies_depend_on
from pipeline.llm.templates import load_prompts
from pipeline.run.outcomes import Done, Outcome
from pipeline.segmentation.score.cues import Cues, score_boundaries
from pipeline.segmentation.score.prefill import (
    MOST_READ_TOKENS,
    Stretch,
    prefill_request,
    scores_by_rank,
    stretches,
)
from pipeline.segmentation.score.questions import QUOTED_CHARACTERS, Places, labels
from pipeline.stages.stage import Row, Stage, TraceWork
from schemas.replies import BOUNDARY_SCORES
from schemas.tables import SCORES

MODEL_REASON = "model"
# "A2 " takes two or three; room for a colon and a line end where the endpoint cannot constrain the reply.
_TOKENS_PER_PLACE = 6


def _questions(config: ScoreConfig) -> list[str]:
    if config.form == "prefill":
        return []
    return ["score" if config.window == 1 else "score_window"]


def _depends_on(build: BuildConfig) -> Any:
    if build.score.detector == "cues":
        return {"detector": "cues"}
    is_read = build.score.form == "prefill"
    return {
        **build.score.model_dump(mode="json", exclude={"window"} if is_read else None),
        **({"read_tokens": MOST_READ_TOKENS} if is_read else {}),
        "llm": what_replies_depend_on(build.llm),
        "prompts": load_prompts().digest(*_questions(build.score)),
    }


SCORE = Stage(
    name="score",
    verb="score boundaries",
    reads=("trace_id", "origin", "problem", "reasoning", "sentence_ends", "sentence_tokens"),
    adds=SCORES,
    begin=lambda build, session: _scoring(build.score, session),
    config=_depends_on,
    version=3,
    asks=lambda build: build.score.detector != "cues",
    prompts=lambda build: (
        load_prompts().labels(*_questions(build.score)) if build.score.detector != "cues" else []
    ),
)


def _scoring(config: ScoreConfig, session: LlmSession | None) -> TraceWork:
    """Scores of all boundaries of a trace; one with a boundary that got none is failed.

    session may be None only for the detector "cues". Counters: "boundaries", "boundaries_asked".
    """

    async def score_trace(rank: int, row: Row, counters: Counter[str]) -> Outcome:
        return await _score_trace(rank, row, config, session, counters)

    return score_trace


def asked_boundaries(cues: Cues, config: ScoreConfig) -> list[int]:
    """Numbers of the boundaries that the model is asked about."""
    if config.detector == "cues":
        return []
    if config.detector == "llm":
        return list(range(len(cues.sure)))
    asked: list[int] = np.flatnonzero(~cues.sure).tolist()
    return asked


def window_request(
    row: dict[str, Any], places: Places, window: Sequence[int], size: int, limit: int, session: LlmSession
) -> Request:
    """The question about the boundaries of a window: a digit for each, over the trace up to them.

    size: most boundaries in a question; limit: most tokens of reasoning to show.
    """
    question = places.question(window, size, limit)
    return Request(
        messages=session.prompts.messages(
            question.name, problem=row["problem"], reasoning=question.shown, **question.values
        ),
        constraint=Choice(BOUNDARY_SCORES) if size == 1 else Choices(labels(len(window)), BOUNDARY_SCORES),
        max_tokens=1 if size == 1 else _TOKENS_PER_PLACE * len(window),
        temperature=0.0,
        seed=session.seed_of(row["trace_id"], "score", window[0]),
        purpose="score",
        label=f"trace {row['trace_id']}, {_named(window)}",
    )


def shown_limit(problem: str, window: int | None, config: ScoreConfig) -> int:
    """Most tokens of reasoning that a question about a boundary shows; window: tokens the model can see."""
    # What follows the last boundary, and a quarter of that to point at each.
    quoted = config.window // 4 if config.form == "window" else 0
    around = (len(problem) + QUOTED_CHARACTERS * (1 + quoted)) // 3
    return shown_tokens(window, config.context_tokens, around=around)


async def _score_trace(
    rank: int, row: Row, config: ScoreConfig, session: LlmSession | None, counters: Counter[str]
) -> Outcome:
    cues = score_boundaries(row["reasoning"], row["sentence_ends"])
    scores, reasons = cues.scores, cues.rules
    asked = asked_boundaries(cues, config)
    counters["boundaries"] += len(scores)
    counters["boundaries_asked"] += len(asked)
    if asked:
        if session is None:
            raise ValueError(f'score.detector "{config.detector}" needs a model')
        limit = shown_limit(row["problem"], session.window, config)
        questions = _Questions(rank, row, Places.of(row), config.window, limit, session)
        if config.form == "prefill":
            read = await questions.read()
            answers = [read[boundary] for boundary in asked]
        else:
            answers = await questions.ask_all(asked)
        scores[asked] = answers
        reasons[asked] = MODEL_REASON
    return Done({"boundary_scores": scores, "boundary_reasons": reasons})


@dataclass(frozen=True)
class _Questions:
    """What a model is asked about the boundaries of one trace. limit: most tokens of reasoning to show."""

    rank: int
    row: Row
    places: Places
    size: int
    limit: int
    session: LlmSession

    async def read(self) -> list[float]:
        """Scores of all boundaries, from prompts that the model only reads."""

        async def of_stretch(stretch: Stretch) -> list[float]:
            reply = await self.session.ask(
                lambda: prefill_request(self.row, self.places, stretch, self.session), self.rank
            )
            return reply.uncertainties or []

        async def uncertainties(limit: int) -> list[float]:
            found = await together(map(of_stretch, stretches(self.places, limit)))
            return list(chain.from_iterable(found))

        return scores_by_rank(await fitting(self.limit, uncertainties))

    async def ask_all(self, asked: Sequence[int]) -> list[float]:
        windows = self.places.windows(asked, self.size, self.limit)
        return list(chain.from_iterable(await together(map(self.ask, windows))))

    async def ask(self, window: Sequence[int]) -> list[float]:
        """Scores of a window's boundaries; asked by halves where all together are too long for the model."""

        def asked_with(limit: int) -> Awaitable[Reply]:
            return self.session.ask(
                lambda: window_request(self.row, self.places, window, self.size, limit, self.session),
                self.rank,
            )

        try:
            reply = await fitting(self.limit, asked_with, shortest=max(SHORTEST, self.places.span(window)))
        except ContextTooLong:
            if len(window) == 1:
                raise
            half = len(window) // 2
            return [*await self.ask(window[:half]), *await self.ask(window[half:])]
        return expected_scores(reply, ("",) if self.size == 1 else labels(len(window)))


def expected_scores(reply: Reply, names: Sequence[str]) -> list[float]:
    """For each boundary asked about the mean of the digits by their probability, or the digit itself.

    names: of the boundaries in the reply, "" for the one of a lone digit. The digit itself counts where the
    endpoint told no probabilities.
    """
    shares = reply.probabilities
    if shares is None:
        return [float(written[-1]) for written in reply.text.split()]
    return [sum(int(digit) * shares[name + digit] for digit in BOUNDARY_SCORES) for name in names]


def _named(window: Sequence[int]) -> str:
    first, last = window[0], window[-1]
    return f"boundary {first}" if first == last else f"boundaries {first} to {last}"
