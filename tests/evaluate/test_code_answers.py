"""A program is taken from an answer, and passes when it gives what the tests expect."""

import base64
import json
import os
import pickle
import zlib
from typing import Any

import pytest

from pipeline.evaluate import code_answers
from pipeline.evaluate.code_answers import (
    CodeFailure,
    CodeResult,
    CodeTest,
    passes,
    private_tests,
    python_program,
)
from pipeline.evaluate.sandbox import Limits, Ran
from tests.evaluate.sandboxed import needs_sandbox

LIMITS = Limits(seconds=20)


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("First\n```python\na\n```\nthen\n```python\nb\n  c\n```\nDone.", "b\n  c\n"),
        ("```python\na\n```\nIts output:\n```\n5\n```", "a\n"),
        ("```\na\n```\n```\nb\n```", "b\n"),
        ("```Python3 \r\na\r\n``` \r\n", "a\n"),
        ("````python\ns = '''\n```\n'''\n````", "s = '''\n```\n'''\n"),
        ("```cpp\nint a;\n```", None),
        ("```python\na\n```\n```python\nb = (cut", "a\n"),
        ("```python\n\n```", None),
        ("No program.", None),
        ("2. ```python\n   if a:\n     b\n   ```", "if a:\n  b\n"),
        ("1. Count:\n\n   ```python\n   for n in a:\n       b\n   ```\n", "for n in a:\n    b\n"),
        ("- So:\n      ```py\n      a\n      ```", "a\n"),
        ("> ```python\n> a\n> ```", "a\n"),
        ("~~~python\na\n~~~", "a\n"),
        ("```Python 3\na\n```", "a\n"),
        ("```{.python .numberLines}\na\n```", "a\n"),
        ('```python title="a.py"\na\n```', "a\n"),
        ("```pythonic\na\n```", None),
        ("<details>\n```python\na\n```\n</details>", "a\n"),
        ('```python\ns = """\n```\n"""\na\n```\nDone.', 's = """\n```\n"""\na\n'),
        ("```python\na b\n```\nor\n```\n5\n```", "a b\n"),
    ],
)
def test_the_last_block_of_python_is_the_program(answer: str, program: str | None) -> None:
    assert python_program(answer) == program


def printing(monkeypatch: pytest.MonkeyPatch, stdout: str) -> None:
    monkeypatch.setattr(code_answers, "run_python", lambda *_: Ran(0, stdout, "", ""))


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("1 2\n3\n", "1 2\n3", True),
        ("  1   2 \n3  \n\n", "1 2\n3", True),
        ("0.50 2e1", ".5 20", True),
        ("0.1000001", "0.1", False),
        ("YES", "yes", False),
        ("1\n2", "1 2", False),
        ("1\n\n2", "1\n2", False),
        ("1 2", "1", False),
        ("nan", "nan", True),
        ("snan", "1", False),
        ("", "", True),
        ("", "0", False),
    ],
)
def test_outputs_are_equal_line_by_line_by_tokens_or_numbers(
    monkeypatch: pytest.MonkeyPatch, printed: str, expected: str, same: bool
) -> None:
    printing(monkeypatch, printed)
    assert passes("", [CodeTest("stdin", output=expected)], LIMITS).passed is same


def test_a_program_without_tests_does_not_pass() -> None:
    with pytest.raises(ValueError, match="no tests"):
        passes("print()", [], LIMITS)


def test_what_ends_the_program_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = {
        CodeResult(False, 0, CodeFailure.TIME): Ran(None, "1", "", "time"),
        CodeResult(False, 0, CodeFailure.OUTPUT): Ran(None, "1", "", "output"),
        CodeResult(False, 0, CodeFailure.ERROR, "MemoryError"): Ran(1, "1", "a\nMemoryError\n", "memory"),
        CodeResult(False, 0, CodeFailure.ERROR, "signal -9"): Ran(-9, "1", "", "signal"),
        CodeResult(False, 0, CodeFailure.ERROR, "exit code 2"): Ran(2, "1", "", ""),
    }
    for result, ran in ends.items():
        monkeypatch.setattr(code_answers, "run_python", lambda *_, ran=ran: ran)
        assert passes("", [CodeTest("stdin", output="1")], LIMITS) == result


@needs_sandbox
def test_a_script_passes_and_stops_at_its_first_failure() -> None:
    program = "from __future__ import annotations\n"
    program += "if __name__ == '__main__':\n    print(max(map(int, input().split())))"
    good, bad = CodeTest("stdin", input="3 5\n", output="5\n"), CodeTest("stdin", input="3 5", output="3")
    assert passes(program, [good], LIMITS) == CodeResult(True)
    broken = CodeTest("stdin", input="x", output="")
    assert passes(program, [good, bad, broken], LIMITS) == CodeResult(False, 1, CodeFailure.WRONG_ANSWER)
    error = "ValueError: invalid literal for int() with base 10: 'x'"
    assert passes(program, [broken], LIMITS) == CodeResult(False, 0, CodeFailure.ERROR, error)


def called(*arguments: Any, expected: Any) -> list[CodeTest]:
    return [CodeTest("function", function="solve", arguments=arguments, expected=expected)]


@needs_sandbox
@pytest.mark.parametrize(
    "program",
    [
        "def solve(a, b): return a + b",
        # Names that LeetCode imports, prints around the result, a stdout that is replaced.
        "class Solution:\n def solve(self, a: List[int], b):\n  print('[0]'); return tuple(chain(a, b))",
        "import atexit\natexit.register(print, '[0]')\ndef solve(a, b): print('x', end=''); return a + b",
        "import sys, io\nsys.stdout = io.StringIO()\ndef solve(a, b): return a + b",
        "import sys\ndef solve(a, b): sys.stdout.close(); return a + b",
    ],
    ids=["function", "method", "prints", "replaces stdout", "closes stdout"],
)
def test_what_a_function_returns_is_told_from_what_it_prints(program: str) -> None:
    assert passes(program, called([1, 2], ["é"], expected=[1, 2, "é"]), LIMITS) == CodeResult(True)


@needs_sandbox
def test_a_number_of_numpy_is_that_number() -> None:
    program = "import numpy\ndef solve(a): return numpy.int64(a)"
    assert passes(program, called(3, expected=3), LIMITS) == CodeResult(True)


@needs_sandbox
@pytest.mark.parametrize(
    ("program", "reason", "detail"),
    [
        ("def solve(a): return a + 1", CodeFailure.WRONG_ANSWER, ""),
        ("def other(a): return a", CodeFailure.ERROR, "KeyError: 'solve'"),
        ("def solve(a): exit(0)", CodeFailure.ERROR, "the program ended before its function returned"),
        (
            "def solve(a): return {a}",
            CodeFailure.ERROR,
            "TypeError: Object of type set is not JSON serializable",
        ),
        ("def solve(a) return a", CodeFailure.ERROR, "SyntaxError: expected ':'"),
    ],
)
def test_a_function_fails_with_its_reason(program: str, reason: CodeFailure, detail: str) -> None:
    assert passes(program, called(1, expected=1), LIMITS) == CodeResult(False, 0, reason, detail)


ITEMS = [
    {"input": "1 2\n", "output": "3\n", "testtype": "stdin"},
    {"input": '[1, 2]\n"a"', "output": "[3]", "testtype": "functional"},
]
TESTS = [
    CodeTest("stdin", input="1 2\n", output="3\n"),
    CodeTest("function", function="solve", arguments=([1, 2], "a"), expected=[3]),
]


def packed(content: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(content))).decode()


def test_private_tests_are_read_as_they_are_published_and_as_json() -> None:
    assert private_tests(packed(json.dumps(ITEMS)), "solve") == TESTS
    assert private_tests(json.dumps(ITEMS), "solve") == TESTS


def test_a_pickle_that_imports_something_is_refused() -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.putenv, ("SANDBOX", "1")

    with pytest.raises(ValueError, match=r"it would import posix\.putenv"):
        private_tests(packed(Hostile()))


def test_a_bomb_of_zeros_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_answers, "MOST_UNPACKED", 1000)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        private_tests(packed("0" * 10_000))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not base64!", "neither JSON nor"),
        (base64.b64encode(b"not compressed").decode(), "neither JSON nor"),
        (base64.b64encode(zlib.compress(b"not a pickle")).decode(), "neither JSON nor"),
        (packed([1]), "the pickle holds list"),
        (packed("{}"), "a list was expected, not dict"),
        (json.dumps([ITEMS[0], {"input": ""}]), "test 1: KeyError: 'output'"),
        (json.dumps([{**ITEMS[0], "testtype": "other"}]), "test 0: .*testtype 'other'"),
        (json.dumps([ITEMS[1]]), "test 0: .*need a function's name"),
    ],
)
def test_what_is_no_test_is_told_with_its_number(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        private_tests(text)
