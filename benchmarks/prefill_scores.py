"""Boundary scores from one prompt per trace: a mark at every boundary, read from the prompt's own logprobs.

Nothing is generated but one token: the engine tells how likely each digit was at the place of each mark.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import httpx2

from pipeline.llm.model import Usage
from pipeline.llm.serving import Served
from pipeline.llm.templates import load_prompts
from pipeline.pieces import cut
from pipeline.segmentation.cues import score_boundaries
from schemas.replies import BOUNDARY_SCORES

QUESTION = (
    "Copy this reasoning. After every sentence put how well the reasoning could be interrupted there, "
    "from [[0]] to [[3]]."
)
MARK = re.compile(r"\[\[([0-3])\]\]\n")
TOP = 20


async def prefill_scores(
    rows: list[dict[str, Any]], served: Served, *, marks_of_rules: bool
) -> tuple[list[dict[str, Any]], Usage]:
    """The rows with `boundary_scores`, and what the engine was asked for.

    marks_of_rules: earlier marks show what the rules say, else all show 1.
    """
    usage, scored = Usage(), []
    async with httpx2.AsyncClient(base_url=served.endpoints[0], timeout=1800, trust_env=False) as client:
        for row in rows:
            sentences = cut(row["reasoning"], row["sentence_ends"])
            cues = score_boundaries(sentences)
            marks = [int(cue.score) if marks_of_rules else 1 for cue in cues]
            reply = await client.post("/chat/completions", json=_body(row, sentences, marks, served.model))
            reply.raise_for_status()
            told = reply.json()
            scores = _scores(told["prompt_logprobs"], told["prompt_token_ids"])
            if len(scores) != len(marks):
                raise ValueError(f"trace {row['trace_id']}: {len(marks)} marks, {len(scores)} found")
            scored.append({**row, "boundary_scores": scores})
            usage += Usage(1, prompt_tokens=told["usage"]["prompt_tokens"], completion_tokens=1)
    return scored, usage


def _body(row: dict[str, Any], sentences: list[str], marks: Sequence[int], model: str) -> dict[str, Any]:
    prompts = load_prompts()
    shown = prompts.trace.render(problem=row["problem"], reasoning=row["reasoning"])
    marked = "".join(f"{s.rstrip()} [[{m}]]\n" for s, m in zip(sentences, marks, strict=False))
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": prompts.system.text},
            {"role": "user", "content": f"{shown}\n\n{QUESTION}"},
            {"role": "assistant", "content": marked + sentences[-1]},
        ],
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": TOP,
        "return_token_ids": True,
        "add_generation_prompt": False,
        "continue_final_message": True,
    }


def _scores(logprobs: list[dict[str, Any] | None], ids: list[int]) -> list[float]:
    """The expected digit at every mark after the question, that is in the turn that is only read."""
    spelled, places = "", {}
    for told, token in zip(logprobs, ids, strict=True):
        text = told[str(token)]["decoded_token"] or "" if told else ""
        places[len(spelled) + len(text) - 1] = told
        spelled += text
    turn = spelled.rfind(QUESTION)
    found = (match.start(1) for match in MARK.finditer(spelled) if match.start() > turn)
    return [_expected(places[place]) for place in found]


def _expected(candidates: dict[str, Any] | None) -> float:
    weights = dict.fromkeys(BOUNDARY_SCORES, 0.0)
    for candidate in (candidates or {}).values():
        if (digit := str(candidate["decoded_token"]).strip()) in weights:
            weights[digit] += math.exp(candidate["logprob"])
    return sum(int(digit) * weight for digit, weight in weights.items()) / sum(weights.values())
