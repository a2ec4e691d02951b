"""Boundary scores from a trace that a model only reads: by how unsure it is of what follows each boundary."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.llm.model import Request, Uncertainty
from pipeline.llm.session import LlmSession
from pipeline.segmentation.score.questions import QUOTED_CHARACTERS, Places

MOST_POINTS = 3.0
# vLLM 0.32 answers with 359 bytes for each token of such a prompt (1,724 tokens with `uncertainty.TOP`
# candidates), which its API server, a single process, encodes while all other requests wait: 1.5 MB at most.
# Whole traces in one prompt took 4 to 14 MB, and seconds.
MOST_READ_TOKENS = 4_096


@dataclass(frozen=True)
class Stretch:
    """A part of a trace that one prompt shows, and the boundaries that are read from it.

    start, end: sentences shown, end exclusive; the next sentence's beginning is shown, too.
    """

    start: int
    end: int
    boundaries: range


def stretches(places: Places, limit: int) -> list[Stretch]:
    """All boundaries of a trace in stretches of at most `limit` tokens, up to half of them seen before.

    Never more than MOST_READ_TOKENS. Only a stretch of a single sentence may be longer.
    """
    limit = min(limit, MOST_READ_TOKENS)
    found: list[Stretch] = []
    boundaries = len(places.sentences) - 1
    offsets, done, start = places.token_offsets, 0, 0
    while done < boundaries:
        while start < done and (
            offsets[done] - offsets[start] > limit // 2 or offsets[done + 1] - offsets[start] > limit
        ):
            start += 1
        end = done + 1
        while end < boundaries and offsets[end + 1] - offsets[start] <= limit:
            end += 1
        found.append(Stretch(start, end, range(done, end)))
        done = end
    return found


def prefill_request(row: dict[str, Any], places: Places, stretch: Stretch, session: LlmSession) -> Request:
    """The prompt that is read: problem and a stretch of the reasoning, as every other request shows them."""
    first = places.ends[stretch.start - 1] if stretch.start else 0
    last = places.ends[stretch.end - 1]
    shown = places.reasoning[first : last + QUOTED_CHARACTERS]
    messages = session.prompts.unasked(problem=row["problem"], reasoning=shown)
    text = messages[-1].content
    before = len(text) - len(shown) - first
    return Request(
        messages=messages,
        constraint=Uncertainty(text, tuple(before + places.ends[i] for i in stretch.boundaries)),
        max_tokens=1,
        temperature=0.0,
        seed=session.seed_of(row["trace_id"], "prefill", stretch.boundaries.start),
        purpose="score",
        label=f"trace {row['trace_id']}, boundaries {stretch.boundaries.start} to {stretch.end - 1}",
    )


def scores_by_rank(uncertainties: Sequence[float]) -> list[float]:
    """Scores from 0 to 3 in the order of the uncertainties, evenly spread over a trace; equals share a score.

    What counts as unsure differs by model and by subject, so only the order within a trace is taken.
    """
    order = sorted(uncertainties)
    most = max(1, len(order) - 1)
    ranks = ((bisect_left(order, value) + bisect_right(order, value) - 1) / 2 for value in uncertainties)
    return [MOST_POINTS * rank / most for rank in ranks]
