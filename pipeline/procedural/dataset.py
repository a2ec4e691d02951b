"""A published data set of register machines, made like any other from the records stage on."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa

import schemas.tables
from pipeline.config import BuildConfig
from pipeline.files.atomic import value_digest
from pipeline.procedural.register_machine import Kind, RegisterTrace, trace
from pipeline.publish import Published, publish
from pipeline.records import RECORDS
from pipeline.run.outcomes import ShardResult
from pipeline.run.store import RunFolder
from pipeline.stages.registry import INGEST
from pipeline.stages.run_shard import run_stages

_STAGE_BEFORE = "mementos"
_MADE_BY = "register machine"
# Raise when the same arguments would give other traces.
VERSION = 3


def publish_register_machine(
    run: RunFolder,
    kind: Kind,
    sizes: Sequence[tuple[int, int, int]],
    *,
    seed: int,
    validation: float,
    tell: Callable[[str], None] = lambda step: None,
) -> Published:
    """Writes RUN/publish: for each size (runs, steps, traces) so many traces, in this order.

    A trace's `difficulty` is the number of its size, from 0.
    validation: share of the problems that are the split of that name. What an earlier call with the same
    arguments has made is not made again.
    """
    build = BuildConfig.model_validate(
        {
            "name": f"register-machine-{kind}",
            "publish": {"validation": validation, "pretty_name": f"Register machine, {kind}"},
        }
    )
    shards, number = [], 0
    for shard, (runs, steps, traces) in enumerate(sizes):
        made = {"task": _MADE_BY, "kind": kind, "seed": seed, "runs": runs, "steps": steps, "first": number}
        tell(f"making {traces:,} traces of {runs} runs of {steps} steps")
        if not _is_there(run, shard, made | {"traces": traces}):
            rows = [
                _row(trace(seed, at, kind, runs=runs, steps=steps), kind, at, difficulty=shard)
                for at in range(number, number + traces)
            ]
            _write(run, shard, rows, made | {"traces": traces})
        run_stages([RECORDS.name], shard, run, build, None)
        shards.append(shard)
        number += traces
    run.remove_shards_from(len(shards), [INGEST, _STAGE_BEFORE, RECORDS.name])
    return publish(run, shards, build, prompts=[], models=(_MADE_BY, None))


def _is_there(run: RunFolder, shard: int, made: dict[str, Any]) -> bool:
    digest = value_digest(made)
    return all(
        run.current(stage, shard, input=digest, config=digest, version=VERSION)
        for stage in (INGEST, _STAGE_BEFORE)
    )


def _write(run: RunFolder, shard: int, rows: list[dict[str, Any]], made: dict[str, Any]) -> None:
    digest = value_digest(made)
    for stage, schema in ((INGEST, schemas.tables.TRACES), (_STAGE_BEFORE, _COLUMNS)):
        result = ShardResult(
            pa.Table.from_pylist(rows, schema),
            schemas.tables.REJECTED.empty_table(),
            schemas.tables.FAILED.empty_table(),
            Counter(),
        )
        run.write(
            stage,
            shard,
            result,
            rows_in=len(rows),
            input=digest,
            config=digest,
            version=VERSION,
            usage={},
            seconds=0.0,
        )


def _row(made: RegisterTrace, kind: Kind, number: int, *, difficulty: int) -> dict[str, Any]:
    sentences = [sentence for block in made.blocks for sentence in block]
    return {
        "trace_id": f"{kind}-{number}",
        "problem": made.problem,
        "reasoning": "".join(sentences),
        "answer": made.answer,
        "domain": "procedural",
        "source": f"register machine, {kind}",
        "difficulty": difficulty,
        "origin": f"register_machine:{number}",
        "sentence_ends": list(accumulate(map(len, sentences))),
        "sentence_tokens": [_words(sentence) for sentence in sentences],
        "boundary_scores": [3.0] * (len(sentences) - 1),
        "boundary_reasons": ["task"] * (len(sentences) - 1),
        "block_ends": list(accumulate(map(len, made.blocks))),
        "block_tokens": [sum(map(_words, block)) for block in made.blocks],
        "objective": 0.0,
        "mementos": [_memento(text) for text in made.mementos],
    }


def _memento(text: str) -> dict[str, Any]:
    """A memento that was computed, so that no judge was asked: it has no points."""
    only_round = {
        "text": text,
        "tokens": _words(text),
        "score": None,
        "rubric": None,
        "missing": [],
        "verdict_totals": [],
        "checks": [],
    }
    return {"text": text, "tokens": _words(text), "score": None, "best_round": 0, "rounds": [only_round]}


def _words(text: str) -> int:
    return len(text.split())


_COLUMNS = pa.schema(
    [
        *schemas.tables.TRACES,
        *schemas.tables.SENTENCES,
        *schemas.tables.SCORES,
        *schemas.tables.BLOCKS,
        *schemas.tables.MEMENTOS,
    ]
)
