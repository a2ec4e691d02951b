"""From records to the rows of the three published configurations."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

import schemas.openmementos
from pipeline.files.atomic import value_digest
from pipeline.text.pieces import cut


@dataclass(frozen=True)
class Made:
    """What made the data: the two models, no second one where nothing was judged; "name@version" of prompts.

    sufficient: by SHA-256 of a response whether its mementos are enough, of those that were asked about.
    """

    model: str
    judge_model: str | None
    prompts: tuple[str, ...]
    sufficient: Mapping[str, bool] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As plain data; of what is sufficient only a digest, if anything is known."""
        told = {"model": self.model, "judge_model": self.judge_model, "prompts": list(self.prompts)}
        return told | ({"sufficient": value_digest(dict(self.sufficient))} if self.sufficient else {})


@dataclass(frozen=True)
class Configuration:
    """One of the published configurations; `rows` turns records, of which it reads `reads`, into its rows."""

    name: str
    folder: str
    schema: pa.Schema
    reads: tuple[str, ...]
    rows: Callable[[pa.Table, Made], pa.Table]


def default_rows(records: pa.Table, made: Made) -> pa.Table:
    """The columns that a fine-tuning run reads."""
    return records.select(schemas.openmementos.DEFAULT.names).cast(schemas.openmementos.DEFAULT)


def full_rows(records: pa.Table, made: Made) -> pa.Table:
    """Those and the sentences, the blocks as first and last sentence, and the mementos."""
    parts = [
        {
            "sentences": cut(row["reasoning"], row["sentence_ends"]),
            "blocks": [[start, end - 1] for start, end in pairwise((0, *row["block_ends"]))],
            "block_summaries": [memento["text"] for memento in row["mementos"]],
        }
        for row in records.select(["reasoning", "sentence_ends", "block_ends", "mementos"]).to_pylist()
    ]
    return _extended(default_rows(records, made), parts, schemas.openmementos.FULL)


def audit_rows(records: pa.Table, made: Made) -> pa.Table:
    """How each row came about, in the order of the other two configurations."""
    schema = schemas.openmementos.AUDIT
    computed = (
        "origin",
        "response_sha256",
        "reasoning_tokens",
        "memento_tokens",
        "mementos",
        "sufficient",
        "model",
        "judge_model",
        "prompts",
    )
    parts = [
        {
            "origin": _without_folders(row["origin"]),
            "response_sha256": (digest := hashlib.sha256(row["response"].encode()).hexdigest()),
            "sufficient": made.sufficient.get(digest),
            "reasoning_tokens": sum(row["sentence_tokens"]),
            "memento_tokens": sum(memento["tokens"] for memento in row["mementos"]),
            "mementos": [
                _audit_memento(memento, block_tokens)
                for memento, block_tokens in zip(row["mementos"], row["block_tokens"], strict=True)
            ],
            "model": made.model,
            "judge_model": made.judge_model,
            "prompts": list(made.prompts),
        }
        for row in records.select(
            ["origin", "response", "sentence_tokens", "block_tokens", "mementos"]
        ).to_pylist()
    ]
    copied = records.select([name for name in schema.names if name not in computed])
    return _extended(copied, parts, schema)


def _without_folders(origin: str) -> str:
    """A trace's file and row; the folders of the machine that built the data are nobody's business."""
    return origin if "://" in origin else Path(origin).name


def _audit_memento(memento: dict[str, Any], block_tokens: int) -> dict[str, Any]:
    kept = memento["rounds"][memento["best_round"]]
    return {
        "block_tokens": block_tokens,
        "tokens": memento["tokens"],
        "rounds": len(memento["rounds"]),
        "best_round": memento["best_round"],
        "score": memento["score"],
        "first_score": memento["rounds"][0]["score"],
        "rubric": kept["rubric"],
        "verdict_totals": kept["verdict_totals"],
        "checks": kept["checks"],
    }


def _extended(table: pa.Table, parts: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    for name in schema.names:
        if name not in table.column_names:
            table = table.append_column(
                name, pa.array([part[name] for part in parts], schema.field(name).type)
            )
    return table.select(schema.names).cast(schema)


CONFIGURATIONS = (
    Configuration(
        "default",
        "data",
        schemas.openmementos.DEFAULT,
        ("problem", "response", "domain", "source", "difficulty"),
        default_rows,
    ),
    Configuration(
        "full",
        "full",
        schemas.openmementos.FULL,
        (
            "problem",
            "response",
            "domain",
            "source",
            "difficulty",
            "reasoning",
            "sentence_ends",
            "block_ends",
            "mementos",
        ),
        full_rows,
    ),
    Configuration(
        "audit",
        "audit",
        schemas.openmementos.AUDIT,
        (
            "trace_id",
            "origin",
            "response",
            "sentence_tokens",
            "boundary_scores",
            "boundary_reasons",
            "block_tokens",
            "objective",
            "mementos",
        ),
        audit_rows,
    ),
)
