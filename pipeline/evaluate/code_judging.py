"""Programs judged by LiveCodeBench's tests, each run in the sandbox."""

import json
from collections.abc import Mapping
from typing import Any

from pipeline.evaluate.code_answers import passes, private_tests, python_program
from pipeline.evaluate.sandbox import Limits

NO_PROGRAM = "no program"


def judge_program(answer: str, details: Mapping[str, Any]) -> str:
    """Why the program in an answer does not pass a problem's tests; "" where it does.

    details: the columns public_test_cases, private_test_cases and metadata of a row. Raises ValueError where
    the tests cannot be read.
    """
    program = python_program(answer)
    if program is None:
        return NO_PROGRAM
    metadata = json.loads(details.get("metadata") or "{}")
    function = str(metadata.get("func_name") or "")
    tests = [
        test
        for column in ("public_test_cases", "private_test_cases")
        if details.get(column)
        for test in private_tests(str(details[column]), function)
    ]
    result = passes(program, tests, Limits())
    return "" if result.passed else str(result.reason)
