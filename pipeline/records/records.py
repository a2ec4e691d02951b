"""The stage that makes a trace with its mementos a row that can be published, or rejects it."""

import hashlib
from collections import Counter
from collections.abc import Mapping

import schemas.tables
from pipeline.config import BuildConfig
from pipeline.files.atomic import value_digest
from pipeline.records.assemble import assemble
from pipeline.records.quality import Quality, wanted_quality
from pipeline.records.record_checks import Record, check_record, check_response
from pipeline.records.sufficiency import read_sufficiency
from pipeline.run.outcomes import Done, Outcome, Rejected, RejectReason
from pipeline.stages.stage import Row, Stage, TraceWork

RECORDS = Stage(
    name="records",
    verb="assemble and check records",
    reads=(
        "trace_id",
        "origin",
        "problem",
        "reasoning",
        "answer",
        "sentence_ends",
        "block_ends",
        "block_tokens",
        "mementos",
    ),
    adds=schemas.tables.RECORDS,
    begin=lambda build, _: _assembling(wanted_quality(build), _wanted_verdicts(build)),
    config=lambda build: {**wanted_quality(build).as_config(), **_sufficiency_as_config(build)},
    version=2,
)


def _wanted_verdicts(build: BuildConfig) -> Mapping[str, bool] | None:
    """By a response's digest whether its mementos are enough; None where that makes no difference."""
    publish = build.publish
    if publish.sufficiency is None or not publish.only_sufficient:
        return None
    return read_sufficiency(publish.sufficiency)


def _sufficiency_as_config(build: BuildConfig) -> dict[str, str]:
    """What results depend on; empty where nothing is left out."""
    verdicts = _wanted_verdicts(build)
    return {} if verdicts is None else {"sufficient": value_digest(dict(verdicts))}


def _assembling(quality: Quality, verdicts: Mapping[str, bool] | None) -> TraceWork:
    """Adds `response` to a row whose parts pass all checks; another is CHECK_FAILED.

    A sound row whose mementos or blocks are not as wanted is LOW_SCORE, NOT_PASSED, NOT_SUFFICIENT or
    BLOCK_TOO_LONG. The
    detail of a CHECK_FAILED row begins with the name of the check. Counters: "blocks", "block_tokens" and
    "memento_tokens" of the records that are kept; "check.<name>" counts their mementos that do not pass that
    check, and the records that are not kept because of it.
    """

    async def assembled(_: int, row: Row, counters: Counter[str]) -> Outcome:
        return _assemble(row, quality, verdicts, counters)

    return assembled


def _assemble(
    row: Row, quality: Quality, verdicts: Mapping[str, bool] | None, counters: Counter[str]
) -> Outcome:
    record = Record(
        problem=row["problem"],
        reasoning=row["reasoning"],
        answer=row["answer"],
        sentence_ends=row["sentence_ends"],
        block_ends=row["block_ends"],
        block_tokens=row["block_tokens"],
        mementos=[memento["text"] for memento in row["mementos"]],
        memento_tokens=[memento["tokens"] for memento in row["mementos"]],
    )
    findings = check_record(record)
    response = "" if findings else assemble(record.blocks, record.mementos, record.answer)
    findings = findings or check_response(record, response)
    if findings:
        first = findings[0]
        counters[f"check.{first.check}"] += 1
        return Rejected(RejectReason.CHECK_FAILED, f"{first.check}: {first.detail}")
    if (left_out := quality.why_not(row["mementos"], record.block_tokens)) is not None:
        return left_out
    if verdicts is not None and not (verdict := verdicts.get(hashlib.sha256(response.encode()).hexdigest())):
        told = "not asked about" if verdict is None else "the model did not reach the answer from them"
        return Rejected(RejectReason.NOT_SUFFICIENT, told)
    for memento in row["mementos"]:
        kept_round = memento["rounds"][memento["best_round"]]
        counters.update(f"check.{name}" for name in sorted(set(kept_round["checks"])))
    counters["blocks"] += len(record.blocks)
    counters["block_tokens"] += sum(record.block_tokens)
    counters["memento_tokens"] += sum(record.memento_tokens)
    return Done({"response": response})
