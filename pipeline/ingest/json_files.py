"""JSON lines and JSON arrays as numbered rows, one after the other."""

import json
from collections.abc import Iterator
from typing import BinaryIO

import ijson

from pipeline.run.outcomes import Rejected, RejectReason


class NoRows(Exception):
    """The file's JSON holds no rows, or ends too early; the message says what was found."""


def line_rows(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines with something in them, by their numbers from 1."""
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield number, line


def parsed(line: bytes) -> object:
    """What a line says; Rejected where that is no JSON."""
    try:
        return json.loads(line)
    except UnicodeDecodeError as error:
        return Rejected(RejectReason.INVALID_UNICODE, str(error))
    except (ValueError, RecursionError) as error:
        return Rejected(RejectReason.UNREADABLE_ROW, f"no JSON: {error}")


def array_rows(stream: BinaryIO) -> Iterator[tuple[int, object]]:
    """The elements of a JSON array, by their places from 1; one of them at a time is in memory.

    A file with an object a line is read, too: many of them are called .json. stream: one that can seek.
    Raises NoRows.
    """
    first = stream.readline(_LONGEST_FIRST_LINE)
    start = len(_BYTE_ORDER_MARK) if first.startswith(_BYTE_ORDER_MARK) else 0
    stream.seek(start)
    if first[start:].lstrip().startswith(b"{"):
        if first.endswith(b"\n") and isinstance(parsed(first), Rejected):
            raise NoRows("one JSON object over many lines: rows are read from an array, or an object a line")
        yield from line_rows(stream)
        return
    number = 0
    try:
        for number, fields in enumerate(ijson.items(stream, "item", use_float=True), start=1):
            yield number, fields
    except ijson.JSONError as error:
        raise NoRows(f"no JSON array after element {number}: {' '.join(str(error).split())}") from error


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# A trace has some 60,000 characters.
_LONGEST_FIRST_LINE = 1 << 24
