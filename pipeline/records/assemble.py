"""The published response: written from its parts, and taken apart into the same parts again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.openmementos import (
    BLOCK_END,
    BLOCK_START,
    FORMAT_TOKENS,
    SUMMARY_END,
    SUMMARY_START,
    THINK_END,
    THINK_START,
)


@dataclass(frozen=True)
class ParsedResponse:
    """The parts of a response; block i is what memento i stands for."""

    blocks: list[str]
    mementos: list[str]
    answer: str

    @property
    def reasoning(self) -> str:
        """The blocks in one piece: the source's reasoning, byte for byte."""
        return "".join(self.blocks)


class ParseError(ValueError):
    """A text that is no response; `position` (characters) is where, `expected` what should stand there."""

    def __init__(self, position: int, expected: str, found: str) -> None:
        super().__init__(f"character {position}: expected {expected}, found {found}")
        self.position = position
        self.expected = expected


def assemble(blocks: Sequence[str], mementos: Sequence[str], answer: str) -> str:
    """The response that is published; `parse` gives back exactly these parts.

    Nothing is added between the parts but the special tokens, so the blocks concatenate to the reasoning.
    Raises ValueError where a part holds a token of the format or there is not one memento per block.
    Format: arXiv 2604.09852 and the card of microsoft/OpenMementos.
    """
    if len(blocks) != len(mementos):
        raise ValueError(f"{len(blocks)} blocks and {len(mementos)} mementos: each block needs one memento")
    written = [THINK_START]
    for number, (block, memento) in enumerate(zip(blocks, mementos, strict=True)):
        _refuse_token(block, f"block {number}")
        _refuse_token(memento, f"memento {number}")
        written += (BLOCK_START, block, BLOCK_END, SUMMARY_START, memento, SUMMARY_END)
    _refuse_token(answer, "answer")
    return "".join((*written, THINK_END, answer))


def parse(response: str) -> ParsedResponse:
    """The parts that `assemble` wrote this response from.

    Raises ParseError, with the position and what was expected there, for anything `assemble` does not write.
    """
    reader = _Reader(response)
    reader.token(THINK_START)
    blocks, mementos = [], []
    while reader.at(BLOCK_START):
        reader.token(BLOCK_START)
        blocks.append(reader.text_before(BLOCK_END))
        reader.token(SUMMARY_START)
        mementos.append(reader.text_before(SUMMARY_END))
    reader.token(THINK_END, f"{BLOCK_START} or {THINK_END}")
    return ParsedResponse(blocks, mementos, reader.rest())


# No token of the format has "<" after its first character, so none can arise where two parts meet.
_TOKEN = re.compile("|".join(map(re.escape, FORMAT_TOKENS)))
_SHOWN = 24


def _refuse_token(text: str, part: str) -> None:
    if found := _TOKEN.search(text):
        raise ValueError(f"{part} holds the special token {found.group()}: such a trace cannot be published")


class _Reader:
    def __init__(self, response: str) -> None:
        self._response = response
        self._position = 0

    def at(self, token: str) -> bool:
        return self._response.startswith(token, self._position)

    def token(self, token: str, expected: str | None = None) -> None:
        if not self.at(token):
            raise self._error(self._position, expected or token)
        self._position += len(token)

    def text_before(self, token: str) -> str:
        """The text up to `token`, which must be the next token of the format; goes on after it."""
        found = _TOKEN.search(self._response, self._position)
        end = found.start() if found else len(self._response)
        if found is None or found.group() != token:
            raise self._error(end, token)
        text = self._response[self._position : end]
        self._position = found.end()
        return text

    def rest(self) -> str:
        if found := _TOKEN.search(self._response, self._position):
            raise self._error(found.start(), "an answer without special tokens")
        return self._response[self._position :]

    def _error(self, position: int, expected: str) -> ParseError:
        rest = self._response[position : position + _SHOWN]
        return ParseError(position, expected, repr(rest) if rest else "the end")
