"""Rows as they come to the records stage, built by hand; tokens are counted as words."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa

import schemas.tables

ROWS = pa.schema(
    [
        *schemas.tables.TRACES,
        *schemas.tables.SENTENCES,
        *schemas.tables.SCORES,
        *schemas.tables.BLOCKS,
        *schemas.tables.MEMENTOS,
    ]
)

BLOCKS = (
    ("We look for the sum of 12 and 30. ", "Adding the tens and then the ones gives 42.\n\n"),
    ("Check it by subtracting: 42 - 30 = 12, as it should be. ", "So the answer is \\boxed{42}."),
)
MEMENTOS = ("12 + 30 = 42.", "Checked; answer \\boxed{42}.")


def memento(
    text: str, scores: Sequence[int] = (6, 9), checks: Sequence[str] = (), tokens: int | None = None
) -> dict[str, Any]:
    """A memento with one round per score; the first of the best rounds is kept, `checks` are its findings."""
    rubric = dict.fromkeys(schemas.tables.RUBRIC.names, 1)
    size = len(text.split()) if tokens is None else tokens
    best = list(scores).index(max(scores))
    rounds = [
        {
            "text": text if number == best else f"{text} (round {number})",
            "tokens": size,
            "score": score,
            "rubric": rubric,
            "missing": [],
            "verdict_totals": [score],
            "checks": list(checks) if number == best else [],
        }
        for number, score in enumerate(scores)
    ]
    return {"text": text, "tokens": size, "score": scores[best], "best_round": best, "rounds": rounds}


def row(
    trace_id: str = "t0",
    blocks: Sequence[Sequence[str]] = BLOCKS,
    mementos: Sequence[dict[str, Any]] | None = None,
    **columns: Any,
) -> dict[str, Any]:
    """A row of a trace with these sentences per block."""
    sentences = [sentence for block in blocks for sentence in block]
    texts = ["".join(block) for block in blocks]
    return {
        "trace_id": trace_id,
        "problem": "What is 12 + 30?",
        "reasoning": "".join(texts),
        "answer": "\n\nThe answer is 42.",
        "domain": "math",
        "source": "handmade",
        "difficulty": None,
        "origin": "handmade.jsonl:1",
        "sentence_ends": list(accumulate(map(len, sentences))),
        "sentence_tokens": [len(sentence.split()) for sentence in sentences],
        "boundary_scores": [1.0] * (len(sentences) - 1),
        "boundary_reasons": ["rule"] * (len(sentences) - 1),
        "block_ends": list(accumulate(map(len, blocks))),
        "block_tokens": [len(text.split()) for text in texts],
        "objective": 0.5,
        "mementos": [memento(text) for text in MEMENTOS] if mementos is None else list(mementos),
        **columns,
    }


def table(*rows: dict[str, Any]) -> pa.Table:
    """The rows as a shard."""
    return pa.Table.from_pylist(list(rows), ROWS)
