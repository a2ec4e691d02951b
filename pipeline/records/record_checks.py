"""Checks of a whole record: a row that fails one is not published."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import lt

from pipeline.records.assemble import ParsedResponse, ParseError, parse
from pipeline.records.checks import Finding, Severity
from pipeline.text.pieces import block_texts
from schemas.openmementos import special_token_in


@dataclass(frozen=True)
class Record:
    """What a row is made of. Sizes in tokens, `sentence_ends` in characters, `block_ends` in sentences."""

    problem: str
    reasoning: str
    answer: str
    sentence_ends: Sequence[int]
    block_ends: Sequence[int]
    block_tokens: Sequence[int]
    mementos: Sequence[str]
    memento_tokens: Sequence[int]

    @cached_property
    def blocks(self) -> list[str]:
        return block_texts(self.reasoning, self.sentence_ends, self.block_ends)


@dataclass(frozen=True)
class RecordCheck:
    """One named check; `finds` says what is wrong, or None."""

    name: str
    finds: Callable[[Record], str | None]


def check_record(record: Record) -> list[Finding]:
    """The faults of a record's parts; empty where its response can be assembled. Severity is reject."""
    return [
        Finding(check.name, Severity.REJECT, detail)
        for check in RECORD_CHECKS
        if (detail := check.finds(record)) is not None
    ]


def check_response(record: Record, response: str) -> list[Finding]:
    """The fault of an assembled response that does not give back the record's parts, if there is one."""
    detail = _not_parsed_back(record, response)
    return [Finding("parses_back", Severity.REJECT, detail)] if detail else []


def _sentences_cover(record: Record) -> str | None:
    if _cover(record.sentence_ends, len(record.reasoning)):
        return None
    return (
        f"the sentences do not cover the {len(record.reasoning)} characters of the reasoning once, in order"
    )


def _blocks_cover(record: Record) -> str | None:
    if _cover(record.block_ends, len(record.sentence_ends)):
        return None
    return f"the blocks do not cover the {len(record.sentence_ends)} sentences once, in order"


def _one_memento_per_block(record: Record) -> str | None:
    if (
        len(record.mementos)
        == len(record.block_ends)
        == len(record.block_tokens)
        == len(record.memento_tokens)
    ):
        return None
    return f"{len(record.block_ends)} blocks and {len(record.mementos)} mementos"


def _special_token(record: Record) -> str | None:
    named = [("problem", record.problem), ("reasoning", record.reasoning), ("answer", record.answer)]
    named += [(f"memento {number}", text) for number, text in enumerate(record.mementos)]
    # Looked for in all parts at once; a line end between two of them is in no token.
    if special_token_in("\n".join(text for _, text in named)) is None:
        return None
    for part, text in named:
        if token := special_token_in(text):
            return f"the special token {token} stands in the {part}"
    return None


def _empty_memento(record: Record) -> str | None:
    empty = [str(number) for number, text in enumerate(record.mementos) if not text.strip()]
    return f"memento {', '.join(empty)} is empty" if empty else None


def _longer_than_block(record: Record) -> str | None:
    for number, (tokens, of) in enumerate(zip(record.memento_tokens, record.block_tokens, strict=False)):
        if tokens >= of:
            return f"memento {number} has {tokens} tokens and its block {of}"
    return None


def _cover(ends: Sequence[int], length: int) -> bool:
    """Whether pieces with these ends cover 0 … length once, in order, none of them empty."""
    return all(map(lt, (0, *ends), ends)) and (ends[-1] if ends else 0) == length


RECORD_CHECKS = (
    RecordCheck("sentences_cover_reasoning", _sentences_cover),
    RecordCheck("blocks_cover_sentences", _blocks_cover),
    RecordCheck("one_memento_per_block", _one_memento_per_block),
    RecordCheck("special_token", _special_token),
    RecordCheck("empty", _empty_memento),
    RecordCheck("longer_than_block", _longer_than_block),
)


def _not_parsed_back(record: Record, response: str) -> str | None:
    try:
        parsed = parse(response)
    except ParseError as error:
        return f"the response cannot be parsed: {error}"
    if parsed != ParsedResponse(record.blocks, list(record.mementos), record.answer):
        return "the response gives back other parts than it was written from"
    if parsed.reasoning != record.reasoning:
        return "the blocks of the response do not concatenate to the reasoning"
    return None
