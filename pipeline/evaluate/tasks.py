"""The problems behind a task's name: a benchmark's, a file's, or problems that are computed."""

import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets

from pipeline.evaluate.benchmarks import BENCHMARKS, Benchmark
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.problems import Problem
from pipeline.llm.templates import load_template
from pipeline.procedural.register_machine import INSTRUCTIONS, trace
from pipeline.sft.rows import LOADING_ERRORS

REGISTER_MACHINE = "register-machine"
GYM = "gym"
_COMPUTED = 64  # problems of a task that could have any number
# Traces of this seed are not those that a training draws by default.
_SEED = 1_000_003
_OPTIONS = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_WAYS = (
    f"{', '.join(BENCHMARKS)}; {REGISTER_MACHINE}:RUNSxSTEPS, e.g. {REGISTER_MACHINE}:6x6; {GYM}:NAME, "
    f"a task of reasoning-gym, e.g. {GYM}:chain_sum; or a JSONL or Parquet file with the columns problem and "
    "answer"
)


def problems_of(task: str, limit: int | None) -> list[Problem]:
    """The first `limit` problems of a task. Raises EvaluateError, which names what there is."""
    name, _, what = task.partition(":")
    if name == REGISTER_MACHINE:
        return _register_machine(task, what or "6x6", limit or _COMPUTED)
    if name == GYM:
        return _gym(what, limit or _COMPUTED)
    if task in BENCHMARKS:
        return _benchmark(task, BENCHMARKS[task], limit)
    path = Path(task)
    if path.suffix in (".jsonl", ".json", ".parquet"):
        if not path.is_file():
            raise EvaluateError(f"tasks {task}: no such file")
        return _benchmark(task, Benchmark(str(path), "math"), limit)
    raise EvaluateError(f"tasks {task}: not known; there are {_WAYS}")


def _register_machine(task: str, size: str, count: int) -> list[Problem]:
    found = re.fullmatch(r"([1-9])x(\d+)", size)
    if not found or not 1 <= int(found[2]) <= len(INSTRUCTIONS):
        raise EvaluateError(
            f"tasks {task}: give 1 to 9 runs and 1 to {len(INSTRUCTIONS)} steps, as {REGISTER_MACHINE}:6x6"
        )
    made = (trace(_SEED, at, "stated", runs=int(found[1]), steps=int(found[2])) for at in range(count))
    return [Problem(str(at), each.problem, each.answer, "words") for at, each in enumerate(made)]


def _gym(name: str, count: int) -> list[Problem]:
    try:
        import reasoning_gym
    except ImportError:
        raise EvaluateError(
            f"tasks {GYM}:{name} needs reasoning-gym: pip install 'openmementos[gym]' (with a C compiler)"
        ) from None
    try:
        made = reasoning_gym.create_dataset(name, size=count, seed=_SEED)
    except ValueError as error:
        raise EvaluateError(f"tasks {GYM}:{name}: {error}") from None
    asked = load_template("evaluate_math")
    return [
        Problem(
            str(at),
            asked.render(problem=entry["question"]),
            str(entry["answer"]),
            "gym",
            details=(name, dict(entry)),
        )
        for at, entry in enumerate(made)
    ]


def _benchmark(task: str, benchmark: Benchmark, limit: int | None) -> list[Problem]:
    problems = []
    for at, row in enumerate(_rows(task, benchmark)):
        if limit is not None and at >= limit:
            break
        if benchmark.problem not in row or (benchmark.answer and benchmark.answer not in row):
            raise EvaluateError(
                f"tasks {task}: row {at + 1} has no column {benchmark.problem} or {benchmark.answer}, "
                f"but {', '.join(row)}"
            )
        problems.append(_problem(at, row, benchmark))
    if not problems:
        raise EvaluateError(f"tasks {task}: has no rows")
    return problems


def _rows(task: str, benchmark: Benchmark) -> Iterator[Mapping[str, Any]]:
    path = benchmark.path
    try:
        if (suffix := Path(path).suffix) in (".jsonl", ".json", ".parquet"):
            kind = "parquet" if suffix == ".parquet" else "json"
            found = datasets.load_dataset(kind, data_files=path, split="train", streaming=True)
        else:
            found = datasets.load_dataset(path, benchmark.config, split=benchmark.split)
        yield from found
    except LOADING_ERRORS as error:
        first = str(error).strip().partition("\n")[0]
        raise EvaluateError(f"tasks {task}: {path} cannot be loaded ({first})") from None


def _problem(at: int, row: Mapping[str, Any], benchmark: Benchmark) -> Problem:
    identity = str(row.get(benchmark.identity, at))
    group = str(row.get(benchmark.group, ""))
    text = str(row[benchmark.problem])
    if benchmark.kind == "choice":
        options = [str(row[benchmark.answer]), *(str(row[name]) for name in _OPTIONS)]
        # Each problem has its own order, the same in every evaluation.
        order = random.Random(identity).sample(range(4), 4)
        shown = [("ABCD"[place], options[each]) for place, each in enumerate(order)]
        prompt = load_template("evaluate_choice").render(problem=text, options=shown)
        return Problem(identity, prompt, "ABCD"[order.index(0)], "choice", group)
    if benchmark.kind == "code":
        starter = str(row.get("starter_code") or "")
        prompt = load_template("evaluate_code").render(problem=text, starter=starter)
        details = {name: row.get(name) for name in ("public_test_cases", "private_test_cases", "metadata")}
        return Problem(identity, prompt, "", "code", group, details)
    prompt = load_template("evaluate_math").render(problem=text)
    return Problem(identity, prompt, str(row[benchmark.answer]), "math", group)
