"""Marks tests that need a sandbox: skipped, with the reason, where none can be made."""

import pytest

from pipeline.evaluate.sandbox import SandboxError, check_sandbox


def _why_not() -> str:
    try:
        check_sandbox()
    except SandboxError as error:
        return str(error)
    return ""


WHY_NOT = _why_not()
needs_sandbox = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
