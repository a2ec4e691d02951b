"""The three ways a trace leaves a stage: done, rejected by reason, or failed."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pyarrow as pa

import schemas.tables


class RejectReason(StrEnum):
    """Why a trace is rejected: something is wrong with its data. One name in tables, funnel, card, tests."""

    UNREADABLE_FILE = "unreadable_file"
    EMPTY_FILE = "empty_file"
    UNREADABLE_ROW = "unreadable_row"
    UNKNOWN_LAYOUT = "unknown_layout"
    NO_PROBLEM = "no_problem"
    NO_REASONING = "no_reasoning"
    NO_ANSWER = "no_answer"
    CUT_BEFORE_THINK_END = "cut_before_think_end"
    SEVERAL_THINK_PARTS = "several_think_parts"
    TEXT_BEFORE_THINK = "text_before_think"
    SEVERAL_TURNS = "several_turns"
    NOT_VERIFIED = "not_verified"
    SPECIAL_TOKEN = "special_token"
    INVALID_UNICODE = "invalid_unicode"
    LANGUAGE = "language"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    REPETITIVE = "repetitive"
    IN_BENCHMARK = "in_benchmark"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    ENOUGH_ANSWERS = "enough_answers"
    NOT_CHOSEN = "not_chosen"
    TOO_LONG_FOR_MODEL = "too_long_for_model"
    NO_VALID_MEMENTO = "no_valid_memento"
    CHECK_FAILED = "check_failed"
    LOW_SCORE = "low_score"
    NOT_PASSED = "not_passed"
    NOT_SUFFICIENT = "not_sufficient"
    BLOCK_TOO_LONG = "block_too_long"

    @property
    def text(self) -> str:
        """The reason in words."""
        return _WORDS[self]


_WORDS = {
    RejectReason.UNREADABLE_FILE: "file that cannot be read",
    RejectReason.EMPTY_FILE: "file without rows",
    RejectReason.UNREADABLE_ROW: "row that cannot be read",
    RejectReason.UNKNOWN_LAYOUT: "row in no known layout",
    RejectReason.NO_PROBLEM: "no problem",
    RejectReason.NO_REASONING: "no reasoning",
    RejectReason.NO_ANSWER: "no answer after the reasoning",
    RejectReason.CUT_BEFORE_THINK_END: "cut before </think>",
    RejectReason.SEVERAL_THINK_PARTS: "more than one <think> part",
    RejectReason.TEXT_BEFORE_THINK: "text before <think>",
    RejectReason.SEVERAL_TURNS: "a conversation of several turns",
    RejectReason.NOT_VERIFIED: "an answer that the source's verifier does not confirm",
    RejectReason.SPECIAL_TOKEN: "a special token in the text",
    RejectReason.INVALID_UNICODE: "text that is no valid Unicode",
    RejectReason.LANGUAGE: "another language",
    RejectReason.TOO_SHORT: "shorter than select.min_tokens",
    RejectReason.TOO_LONG: "longer than select.max_tokens",
    RejectReason.REPETITIVE: "a reasoning that goes round in a loop (select.max_looped)",
    RejectReason.IN_BENCHMARK: "a problem of a file in select.decontaminate",
    RejectReason.DUPLICATE: "the same trace again",
    RejectReason.NEAR_DUPLICATE: "a problem nearly the same as an earlier one",
    RejectReason.ENOUGH_ANSWERS: "more answers than select.answers_per_problem",
    RejectReason.NOT_CHOSEN: "left out by select.mix or select.limit",
    RejectReason.TOO_LONG_FOR_MODEL: "a block or problem longer than the model's window",
    RejectReason.NO_VALID_MEMENTO: "a block for which no round gave a valid memento",
    RejectReason.CHECK_FAILED: "a record that fails a check",
    RejectReason.LOW_SCORE: "a memento with fewer points than publish.min_score",
    RejectReason.NOT_PASSED: "a memento that did not pass its judge (publish.only_passed)",
    RejectReason.NOT_SUFFICIENT: "mementos not known to be enough for the answer (publish.only_sufficient)",
    RejectReason.BLOCK_TOO_LONG: "a block longer than publish.max_block_tokens",
}

# A sound trace that a build leaves out for its mementos or blocks: finished, not published.
QUALITY_REASONS = frozenset(
    {
        RejectReason.LOW_SCORE,
        RejectReason.NOT_PASSED,
        RejectReason.NOT_SUFFICIENT,
        RejectReason.BLOCK_TOO_LONG,
    }
)


@dataclass(frozen=True)
class Done:
    """A trace that goes on, with the columns its stage adds."""

    added: dict[str, Any]


@dataclass(frozen=True)
class Rejected:
    """A trace left out because of its data. Final."""

    reason: RejectReason
    detail: str


@dataclass(frozen=True)
class Failed:
    """A trace for which a model, endpoint or machine failed. The next run tries it again."""

    error: str
    replies: list[str] = field(default_factory=list)


Outcome = Done | Rejected | Failed


# A word with a digit in it, other than a status of HTTP: a number, an address, the name of a request.
_OF_ONE_ERROR = re.compile(r"(?<!\S)(?!\W?[45]\d\d\b)\S*\d\S*")


def unlabelled(error: str) -> str:
    """The error without the name of its trace, which precedes the first colon."""
    return error.partition(": ")[2] or error


def by_kind(errors: Mapping[str, int]) -> Counter[str]:
    """How often each kind of error happened, each kind under its most frequent text.

    Errors are of one kind where they differ by numbers alone, or by words that have some in them: ids,
    addresses, how long to wait. A status of HTTP (400 to 599) tells kinds apart.
    """
    kinds: dict[str, Counter[str]] = {}
    for error, times in errors.items():
        kinds.setdefault(_OF_ONE_ERROR.sub("#", error), Counter())[error] += times
    return Counter({texts.most_common(1)[0][0]: texts.total() for texts in kinds.values()})


def most_often(errors: Mapping[str, int]) -> str:
    """The commonest kind of error, all in a line: "most often: 429 Too many requests (9 times)"."""
    error, times = by_kind(errors).most_common(1)[0]
    in_a_line = "; ".join(line.strip() for line in error.splitlines())
    return f"most often: {in_a_line} ({times:,} time{'s' * (times > 1)})"


@dataclass(frozen=True)
class ShardResult:
    """What a stage made of a shard; every row that came in is in exactly one of the three tables.

    counters: whatever the stage counts besides rows ("boundaries_asked", "check.number_not_in_block", …).
    """

    done: pa.Table
    rejected: pa.Table
    failed: pa.Table
    counters: Counter[str] = field(default_factory=Counter)


def collect(
    stage: str,
    rows: pa.Table,
    adds: pa.Schema,
    outcomes: Sequence[Outcome],
    counters: Counter[str] | None = None,
) -> ShardResult:
    """The shard's result from one outcome per row, in the order of the rows.

    A column that is added takes the place of one of that name.
    Raises ValueError where the number of outcomes differs from that of the rows.
    """
    if len(outcomes) != rows.num_rows:
        raise ValueError(f"{stage}: {rows.num_rows} traces came in, {len(outcomes)} outcomes came out")
    kept = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Done)]
    before = rows.drop_columns([name for name in adds.names if name in rows.column_names])
    done = before.take(pa.array(kept, pa.int64()))
    added = [outcome.added for outcome in outcomes if isinstance(outcome, Done)]
    for name in adds.names:
        column = pa.array([row[name] for row in added], adds.field(name).type)
        done = done.append_column(adds.field(name), column)
    ids = rows.column("trace_id").to_pylist()
    origins = rows.column("origin").to_pylist()
    rejected, failed = [], []
    for trace_id, origin, outcome in zip(ids, origins, outcomes, strict=True):
        named = {"trace_id": trace_id, "origin": origin, "stage": stage}
        if isinstance(outcome, Rejected):
            rejected.append({**named, "reason": outcome.reason.value, "detail": outcome.detail})
        elif isinstance(outcome, Failed):
            failed.append({**named, "error": outcome.error, "replies": outcome.replies})
    return ShardResult(
        done,
        pa.Table.from_pylist(rejected, schemas.tables.REJECTED),
        pa.Table.from_pylist(failed, schemas.tables.FAILED),
        counters if counters is not None else Counter(),
    )
