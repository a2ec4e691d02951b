"""A model's answer to a programming problem → its program, and whether that passes the problem's tests.

Outputs are compared as LiveCodeBench does (lcb_runner/evaluation/testing_util.py), except that how many
spaces stand within a line does not count.
"""

import ast
import base64
import io
import json
import pickle
import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Literal

from pipeline.evaluate.code_harness import is_called, reads_stdin
from pipeline.evaluate.sandbox import Limits, Ran, run_python

OPENS = re.compile(
    r"[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)?(?P<fence>`{3,}|~{3,})(?P<about>\W*(?P<language>\w*)[^`]*)"
)
PYTHON = ("python", "python3", "py", "py3")
# Bytes that unpacked tests may take.
MOST_UNPACKED = 1 << 30


class CodeFailure(StrEnum):
    """Why a program does not pass; too much memory is an error."""

    WRONG_ANSWER = "wrong answer"
    TIME = "time"
    OUTPUT = "output"
    ERROR = "error"


@dataclass(frozen=True)
class CodeTest:
    """Either a text on stdin and the one expected on stdout, or the arguments of a function (a method where
    the program has a class `Solution`) and the value expected of it, both as decoded JSON."""

    kind: Literal["stdin", "function"]
    input: str = ""
    output: str = ""
    function: str = ""
    arguments: tuple[Any, ...] = ()
    expected: Any = None


@dataclass(frozen=True)
class CodeResult:
    """Whether all tests pass; else the first that does not (from 0), why, and an error's last line."""

    passed: bool
    test: int | None = None
    reason: CodeFailure | None = None
    detail: str = ""


def python_program(answer: str) -> str | None:
    """The answer's last fenced block of Python, or else its last one of no language; None without either.

    Fences stand at any depth of lists and quotes, deeper than Markdown's rules allow. A block that does not
    end is none: the answer was cut off.
    """
    named, plain = None, None
    begun: re.Match[str] | None = None
    block: list[str] = []
    lines = answer.splitlines()
    for number, line in enumerate(lines):
        if begun is None:
            begun, block = OPENS.fullmatch(line), []
        elif not _closes(line, begun["fence"]):
            block.append(_outdented(line, begun))
        else:
            program, rest = "".join(block), [_outdented(later, begun) for later in lines[number + 1 :]]
            if program.strip() and begun["language"].lower() in PYTHON:
                named = _whole(program, begun["fence"], rest)
            elif program.strip() and not begun["about"].strip():
                plain = program
            begun = None
    return named or plain


def _closes(line: str, fence: str) -> bool:
    mark = line.strip(" \t>\n")
    return len(mark) >= len(fence) and not mark.strip(fence[0])


def _outdented(line: str, begun: re.Match[str]) -> str:
    """A line without what stands before the fence of its block, white space or marks of a quote."""
    depth = begun.start("fence")
    return line[:depth].lstrip(" \t>") + line[depth:] + "\n"


def _whole(block: str, fence: str, rest: Sequence[str]) -> str:
    """A block; where only that is Python, with the lines up to a later fence: the first was in a string."""
    longer = block + f"{fence}\n"
    if _is_python(block):
        return block
    for line in rest:
        if _closes(line, fence) and _is_python(longer):
            return longer
        longer += line
    return block


def _is_python(program: str) -> bool:
    try:
        ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def passes(program: str, tests: Sequence[CodeTest], limits: Limits) -> CodeResult:
    """Whether the program passes every test, each in a sandbox of its own; stops at the first that it fails.

    Raises ValueError without tests, SandboxError where no sandbox can be made.
    """
    if not tests:
        raise ValueError("no tests: a program cannot pass or fail")
    for number, test in enumerate(tests):
        marker = secrets.token_hex(16)
        ran = run_python(_harness(program, test, marker), test.input, limits)
        failure, detail = _failure(ran, test, marker)
        if failure:
            return CodeResult(False, number, failure, detail)
    return CodeResult(True)


def _harness(program: str, test: CodeTest, marker: str) -> str:
    if test.kind == "stdin":
        return reads_stdin(program)
    return is_called(program, test.function, test.arguments, marker)


def _failure(ran: Ran, test: CodeTest, marker: str) -> tuple[CodeFailure | None, str]:
    if ran.reason in ("time", "output"):
        return CodeFailure(ran.reason), ""
    if ran.code != 0:
        last = ran.stderr.rstrip().rpartition("\n")[2]
        return CodeFailure.ERROR, last or f"{ran.reason or 'exit code'} {ran.code}"
    if test.kind == "stdin":
        return (None if _same_output(ran.stdout, test.output) else CodeFailure.WRONG_ANSWER), ""
    _, found, rest = ran.stdout.rpartition(marker)
    if not found:
        return CodeFailure.ERROR, "the program ended before its function returned"
    try:
        result = json.loads(rest.partition("\n")[0])
    except (ValueError, RecursionError) as error:
        return CodeFailure.ERROR, f"the result cannot be read: {error}"
    return (None if result == test.expected else CodeFailure.WRONG_ANSWER), ""


def _same_output(got: str, expected: str) -> bool:
    lines, wanted = ([line.split() for line in text.strip().split("\n")] for text in (got, expected))
    return len(lines) == len(wanted) and all(map(_same_line, lines, wanted))


def _same_line(got: list[str], expected: list[str]) -> bool:
    if got == expected:
        return True
    try:
        # NaNs are equal to nothing, and signalling ones cannot be compared.
        return [Decimal(token) for token in got] == [Decimal(token) for token in expected]
    except InvalidOperation:
        return False


def private_tests(text: str, function: str = "") -> list[CodeTest]:
    """LiveCodeBench's tests, from JSON or from its base64 of a compressed pickle of JSON.

    function: what functional tests call, which the problem's metadata names `func_name`. Raises ValueError
    where the text is neither; a pickle that would import anything is refused.
    """
    items = json.loads(text) if text.lstrip().startswith("[") else json.loads(_unpacked(text))
    if not isinstance(items, list):
        raise ValueError(f"tests: a list was expected, not {type(items).__name__}")
    return [_test(item, number, function) for number, item in enumerate(items)]


def _test(item: Any, number: int, function: str) -> CodeTest:
    try:
        given, output, kind = item["input"], item["output"], item["testtype"]
        if kind == "stdin":
            return CodeTest("stdin", input=given, output=output)
        if kind != "functional" or not function:
            raise ValueError(
                f"testtype {kind!r}, function {function!r}: functional tests need a function's name"
            )
        arguments = tuple(json.loads(line) for line in given.split("\n"))
        return CodeTest("function", function=function, arguments=arguments, expected=json.loads(output))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"test {number}: {type(error).__name__}: {error}") from error


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it would import {module}.{name}")


def _unpacked(text: str) -> str:
    try:
        inflating = zlib.decompressobj()
        pickled = inflating.decompress(base64.b64decode(text.strip(), validate=True), MOST_UNPACKED)
        if not inflating.eof:
            raise ValueError(f"cut off, or more than {MOST_UNPACKED} bytes")
        tests = _Plain(io.BytesIO(pickled)).load()
    except (ValueError, zlib.error, pickle.UnpicklingError, EOFError, LookupError, AttributeError) as error:
        raise ValueError(f"tests: neither JSON nor a compressed pickle of it: {error}") from error
    if not isinstance(tests, str):
        raise ValueError(f"tests: the pickle holds {type(tests).__name__}, not JSON in a str")
    return tests
