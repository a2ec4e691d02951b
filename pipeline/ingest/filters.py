"""Filters of single rows, and the summary of a row that selection works with."""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pyarrow as pa

from pipeline.config import BuildConfig
from pipeline.ingest.benchmarks import Benchmarks
from pipeline.ingest.language import why_not_english
from pipeline.ingest.layouts import RawTrace
from pipeline.ingest.loops import looped_share
from pipeline.ingest.near_duplicates import sketch
from pipeline.ingest.row_reader import Row
from pipeline.run.outcomes import Rejected, RejectReason
from pipeline.text.tokens import TokenCounter, token_counter
from schemas.openmementos import special_token_in

FACTS = pa.schema(
    [
        # Row or line from 1; 0 is the file as a whole.
        pa.field("row", pa.int64(), nullable=False),
        # Which of the row's answers, from 1; 0 where it holds one.
        pa.field("answer", pa.int32(), nullable=False),
        # First 64 bits of hashes; null where nothing could be read.
        pa.field("content", pa.uint64()),
        pa.field("problem", pa.uint64()),
        # Of all columns that the row gives to its trace: facts that are the same give the same shards.
        pa.field("output", pa.uint64()),
        # MinHash of the problem; null where near duplicates are not looked for.
        pa.field("sketch", pa.binary()),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        # A RejectReason, or empty for a row that is fit.
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)


class RowSummary(NamedTuple):
    """One row of FACTS."""

    row: int
    answer: int
    content: int | None
    problem: int | None
    output: int | None
    sketch: bytes | None
    domain: str
    source: str
    verdict: str
    detail: str


def rejected_row(row: int, rejected: Rejected, content: int | None = None, answer: int = 0) -> RowSummary:
    """The summary of a row or answer without a trace, or (row 0) of a whole file."""
    return RowSummary(
        row, answer, content, None, None, None, "", "", rejected.reason.value, _printable(rejected.detail)
    )


@dataclass(frozen=True)
class Filters:
    """The filters that a config applies to each row by itself."""

    english_only: bool
    min_tokens: int
    max_tokens: int | None
    max_looped: float | None
    vocabulary: str
    benchmarks: Benchmarks | None = None
    sketches: bool = False

    @classmethod
    def of(cls, config: BuildConfig, benchmarks: Benchmarks | None = None) -> "Filters":
        """benchmarks: the problems of `select.decontaminate`, read once for all files."""
        select = config.select
        return cls(
            select.languages == "english",
            select.min_tokens,
            select.max_tokens,
            select.max_looped,
            config.split.tokenizer,
            benchmarks,
            select.near_duplicates is not None,
        )

    def summary(self, row: Row) -> RowSummary:
        """What there is to know of the row."""
        if isinstance(row.outcome, Rejected):
            content = None if row.fields is None else _hash_of_fields(row.fields, row.answer)
            return rejected_row(row.number, row.outcome, content, row.answer)
        trace = row.outcome
        texts = Utf8.of(trace)
        content = content_hash(texts)
        unfit = self.why_unfit(trace, texts)
        if unfit is not None:
            return rejected_row(row.number, unfit, content, row.answer)
        problem = _first_64_bits(" ".join(trace.problem.split()).encode())
        sketched = sketch(trace.problem) if self.sketches else None
        output = output_hash(trace, content)
        return RowSummary(
            row.number, row.answer, content, problem, output, sketched, trace.domain, trace.source, "", ""
        )

    def why_unfit(self, trace: RawTrace, texts: "Utf8") -> Rejected | None:
        """Why the trace cannot be taken, whatever the others are; None where it can."""
        labels = {name: _utf8(getattr(trace, name)) for name in ("domain", "source")}
        for name, utf8 in {**texts._asdict(), **labels}.items():
            if _LONE_SURROGATE.search(utf8):
                return Rejected(RejectReason.INVALID_UNICODE, f"a lone surrogate in the {name}")
        for name in ("problem", "reasoning", "answer"):
            token = special_token_in(getattr(trace, name))
            if token is not None:
                return Rejected(RejectReason.SPECIAL_TOKEN, f"{token} in the {name}")
        if self.english_only:
            why = why_not_english(trace.reasoning, texts.reasoning)
            if why is not None:
                return Rejected(RejectReason.LANGUAGE, why)
        unfit = self._why_unfit_in_length(trace.reasoning, len(texts.reasoning))
        if unfit is None and self.max_looped is not None:
            looped = looped_share(trace.reasoning)
            if looped > self.max_looped:
                return Rejected(RejectReason.REPETITIVE, f"{looped:.0%} of the reasoning is a loop")
        if unfit is None and self.benchmarks:
            match = self.benchmarks.match(trace.problem)
            if match is not None:
                return Rejected(RejectReason.IN_BENCHMARK, match)
        return unfit

    def _why_unfit_in_length(self, reasoning: str, size: int) -> Rejected | None:
        # A token has at least one byte: texts of few bytes need no counting for the upper bound.
        if size < self.min_tokens:
            return Rejected(RejectReason.TOO_SHORT, f"{size} bytes, so less than {self.min_tokens} tokens")
        long_enough = self.min_tokens == 0 or self._beginning_has(self.min_tokens, reasoning)
        short_enough = self.max_tokens is None or size <= self.max_tokens
        if long_enough and short_enough:
            return None
        tokens = self._count([reasoning])[0]
        if tokens < self.min_tokens:
            return Rejected(RejectReason.TOO_SHORT, f"{tokens} tokens")
        if self.max_tokens is not None and tokens > self.max_tokens:
            return Rejected(RejectReason.TOO_LONG, f"{tokens} tokens")
        return None

    def _beginning_has(self, tokens: int, text: str) -> bool:
        """Whether a beginning of the text has that many tokens. Cut before a word, where a token begins."""
        cut = _WORD_START.search(text, 8 * tokens)
        return cut is not None and self._count([text[: cut.start()]])[0] >= tokens

    @cached_property
    def _count(self) -> TokenCounter:
        return token_counter(self.vocabulary)


class Utf8(NamedTuple):
    """The texts of a trace in UTF-8, lone surrogates as if they were characters: each encoded only once."""

    problem: bytes
    reasoning: bytes
    answer: bytes

    @classmethod
    def of(cls, trace: RawTrace) -> "Utf8":
        return cls(_utf8(trace.problem), _utf8(trace.reasoning), _utf8(trace.answer))


def content_hash(texts: Utf8) -> int:
    """64 bits of SHA-256 over problem, reasoning and answer; the same wherever the trace stands."""
    return _first_64_bits(b"".join(b"%d:%b" % (len(text), text) for text in texts))


def output_hash(trace: RawTrace, content: int) -> int:
    """64 bits of SHA-256 over all columns of a trace; content: the hash of its texts."""
    return _first_64_bits(json.dumps([content, trace.domain, trace.source, trace.difficulty]).encode())


def trace_id(content: int | None, occurrence: int) -> str:
    """The id of the n-th trace (from 1) with this content; empty for a row that could not be read."""
    if content is None:
        return ""
    return f"{content:016x}" if occurrence == 1 else f"{content:016x}-{occurrence}"


_WORD_START = re.compile(r"(?<=\S)(?= [A-Za-z])")


def _hash_of_fields(fields: dict[str, object], answer: int) -> int:
    text = json.dumps([answer, fields] if answer else fields, sort_keys=True, ensure_ascii=False, default=str)
    return _first_64_bits(_utf8(text))


def _first_64_bits(content: bytes) -> int:
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


_LONE_SURROGATE = re.compile(rb"\xed[\xa0-\xbf]")


def _printable(detail: str) -> str:
    """A detail quotes the data, which may be long and is not always valid Unicode."""
    short = detail if len(detail) <= _LONGEST_DETAIL else detail[:_LONGEST_DETAIL] + "…"
    return short.encode("utf-8", "replace").decode()


_LONGEST_DETAIL = 500
