"""JSON lines and JSON arrays as numbered rows, one after the other; by the same rules, row by row."""

import io
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from pipeline.run.outcomes import Rejected, RejectReason


class NoRows(Exception):
    """The file's JSON holds no rows; the message says what was found, and what to do."""


def json_rows(stream: BinaryIO, *, array: bool) -> Iterator[tuple[int, bytes]]:
    """The rows of a file by their numbers from 1, as bytes for `parsed`: of an array or of an object a line.

    Both are read whatever the file is called. stream: one that can seek or peek. array: what an "[" at the
    start means where it does not tell, as that of a name that ends in .json. One row at a time is in memory.
    Raises NoRows.
    """
    head = _head(stream)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NoRows("UTF-16: convert it to UTF-8, as with `iconv -f UTF-16 -t UTF-8`")
    text = head.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if text.startswith(b"[") and (array or text[1:].lstrip()[:1] in (b"{", b"]", b"")):
        yield from enumerate(_elements(stream), start=1)
        return
    first = text.split(b"\n", 1)[0].strip()
    if first == b"{":
        raise NoRows(
            "one JSON object over many lines: rows are read from an array, or an object a line (`jq -c`)"
        )
    if b"\r" in first and b"\n" not in head:
        raise NoRows(r"its lines end with a carriage return alone: convert them, as with `tr '\r' '\n'`")
    if array and not text.startswith(b"{"):
        raise NoRows(f"neither a JSON array nor JSON objects, but {text[:20]!r}")
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield number, line


def parsed(row: bytes) -> object:
    """What a row says; Rejected where that is no JSON."""
    try:
        return json.loads(row)
    except UnicodeDecodeError as error:
        return Rejected(RejectReason.INVALID_UNICODE, str(error))
    except (ValueError, RecursionError) as error:
        return Rejected(RejectReason.UNREADABLE_ROW, f"no JSON: {error}")


def _head(stream: BinaryIO) -> bytes:
    """The first bytes, which the stream still has before it."""
    if isinstance(stream, io.BufferedReader):
        return stream.peek(_HEAD)[:_HEAD]
    head = stream.read(_HEAD)
    stream.seek(0)
    return head


def _elements(stream: BinaryIO) -> Iterator[bytes]:
    """The bytes of each element of an array; those of one that the file ends in, or behind the array, too.

    Only strings and brackets are looked at: what stands between is for who parses an element, so that one
    that is no JSON costs no other.
    """
    buffer, start, at, depth = b"", 0, 0, 0
    while more := stream.read(max(_CHUNK, len(buffer) - start)):
        buffer, at, start = buffer[start:] + more, at - start, 0
        for token in _TOKEN.finditer(buffer, at):
            at, sign = token.end(), token[0]
            if sign == b'"':  # a string that goes on behind the buffer
                at = token.start()
                break
            if sign in (b"[", b"{"):
                depth += 1
                start = at if depth == 1 else start
            elif sign in (b"]", b"}"):
                depth -= 1
            if (sign == b"," and depth == 1) or (sign == b"]" and not depth):
                if depth or buffer[start : at - 1].strip():  # none behind the last comma
                    yield buffer[start : at - 1]
                start = at
            if not depth and sign in (b"]", b"}"):
                if rest := buffer[at:].strip() or stream.read(_HEAD).strip():
                    yield b"behind the array: " + rest[:_HEAD]
                return
        else:
            at = len(buffer)
    if buffer[start:].strip():
        yield buffer[start:]


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HEAD = 1 << 16
_CHUNK = 1 << 20
# A whole string, or the mark that begins one whose end is not there yet.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
