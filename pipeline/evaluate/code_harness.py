"""The programs that run in the sandbox in an answer's place, and run it with what a test gives it.

The names that an answer may use without importing them are those of LiveCodeBench.
"""

import json
from collections.abc import Sequence
from typing import Any

# In LiveCodeBench's order: a later module's names hide an earlier one's.
MODULES = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json"),
)
PRELUDE = "\n".join(
    [
        *(f"from {module} import *" for module in (*MODULES, "builtins", "typing")),
        f"import {', '.join(MODULES)}",
        "sys.setrecursionlimit(50000)",
        "",
    ]
)
READS_STDIN = PRELUDE + "exec(compile({program!r}, 'answer.py', 'exec'), globals())\n"
# The result goes to a copy of stdout, since the program may replace or close its own.
IS_CALLED = (
    PRELUDE
    + """
def call():
    import json, os, sys
    copy = os.fdopen(os.dup(1), "w")
    arguments = json.loads({arguments!r})
    exec(compile({program!r}, 'answer.py', 'exec'), globals())
    names = globals()
    function = getattr(names["Solution"](), {name!r}) if "Solution" in names else names[{name!r}]
    encoder = json.JSONEncoder()
    # NumPy's numbers equal Python's.
    encoder.default = lambda v: v.item() if hasattr(v, "item") else json.JSONEncoder.default(encoder, v)
    result = encoder.encode(function(*arguments))
    if not sys.stdout.closed:
        sys.stdout.flush()
    copy.write("\\n" + {marker!r} + result + "\\n")
    copy.close()
call()
"""
)


def reads_stdin(program: str) -> str:
    """A program that runs `program` as a script."""
    return READS_STDIN.format(program=program)


def is_called(program: str, function: str, arguments: Sequence[Any], marker: str) -> str:
    """A program that calls a function of `program`, or a method of its class `Solution`.

    The result is the JSON behind the last `marker` on stdout, up to the end of its line.
    """
    given = json.dumps(arguments)
    return IS_CALLED.format(program=program, name=function, arguments=given, marker=marker)
