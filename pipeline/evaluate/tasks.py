"""The problems behind a task's name: a benchmark's, a file's, or problems that are computed."""

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets

from pipeline.evaluate.answers import bare, is_words, reference
from pipeline.evaluate.benchmarks import BENCHMARKS, Benchmark
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.judging import check_judges, function_named, unreadable
from pipeline.evaluate.problems import AnswerKind, Problem
from pipeline.llm.templates import load_template
from pipeline.procedural.register_machine import INSTRUCTIONS, trace
from pipeline.sft.rows import LOADING_ERRORS

REGISTER_MACHINE = "register-machine"
GYM = "gym"
_COMPUTED = 64  # problems of a task that could have any number
# Traces of this seed are not those that a training draws by default.
_SEED = 1_000_003
_OPTIONS = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_FILE = re.compile(r"(?P<path>.+\.(?:jsonl|json|parquet))(?::(?P<kind>.+))?")
_KINDS: dict[str, AnswerKind] = {"math": "math", "words": "words", "choice": "choice", "code": "code"}
_WAYS = (
    f"{', '.join(BENCHMARKS)}; {REGISTER_MACHINE}:RUNSxSTEPS, e.g. {REGISTER_MACHINE}:6x6; {GYM}:NAME, "
    f"a task of reasoning-gym, e.g. {GYM}:chain_sum; or a JSONL or Parquet file with the columns problem and "
    f"answer, FILE, or FILE:KIND with what its answers are: {', '.join(_KINDS)}, or the dotted name of a "
    "function of an answer and its row, e.g. my_module.my_judge, that says whether it is right"
)
_CALLED = {"math": "mathematics", "words": "words", "choice": "letters of options", "code": "programs"}
_SHOWN_ROWS = 5


@dataclass(frozen=True)
class Task:
    """The problems of a task that can be asked; told: what to say before that; left_out: rows, by reason."""

    problems: list[Problem]
    told: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)


def task_of(task: str, limit: int | None) -> Task:
    """The first `limit` problems of a task, by its name. Raises EvaluateError, which names what there is.

    What answers are is told by the task (FILE:KIND), or found from its references, each by itself. Rows
    without a problem, or with a reference that cannot be read, are left out: no answer could be judged.
    """
    if found := _FILE.fullmatch(task):
        if not Path(found["path"]).is_file():
            raise EvaluateError(f"tasks {task}: no such file")
        return _from_file(task, found["path"], found["kind"], limit)
    if task in BENCHMARKS:
        return _benchmark(task, BENCHMARKS[task], limit)
    return Task(_computed(task, limit))


def _computed(task: str, limit: int | None) -> list[Problem]:
    name, _, what = task.partition(":")
    if name == REGISTER_MACHINE:
        return _register_machine(task, what or "6x6", limit or _COMPUTED)
    if name == GYM:
        return _gym(what, limit or _COMPUTED)
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


def _from_file(task: str, path: str, kind: str | None, limit: int | None) -> Task:
    if kind is None:
        return _benchmark(task, Benchmark(path, "math"), limit, is_file=True)
    if told := _KINDS.get(kind):
        answer = "" if told == "code" else "answer"
        return _benchmark(task, Benchmark(path, told, answer=answer), limit, is_told=True)
    if "." not in kind:
        raise EvaluateError(f"tasks {task}: answers cannot be {kind}; there are {_WAYS}")
    function_named(kind)
    return _benchmark(task, Benchmark(path, "function", answer="", judge=kind), limit, is_told=True)


def _benchmark(
    task: str, benchmark: Benchmark, limit: int | None, *, is_told: bool = False, is_file: bool = False
) -> Task:
    problems: dict[int, Problem] = {}
    faults: dict[str, list[int]] = {}
    for at, row in enumerate(_rows(task, benchmark)):
        if limit is not None and at >= limit:
            break
        if benchmark.problem not in row or (benchmark.answer and benchmark.answer not in row):
            raise EvaluateError(
                f"tasks {task}: row {at + 1} has no column {benchmark.problem} or {benchmark.answer}, "
                f"but {', '.join(row)}"
            )
        if fault := _fault(row, benchmark):
            faults.setdefault(fault, []).append(at + 1)
        else:
            problems[at] = _problem(at, row, benchmark)
    count = len(problems) + sum(map(len, faults.values()))
    if not count:
        raise EvaluateError(f"tasks {task}: has no rows")
    if benchmark.kind == "math" and not is_told:
        problems = _with_found_kinds(problems)
    check_judges({problem.kind for problem in problems.values()} - {"code"})
    for at, problem in [*problems.items()]:
        if unreadable(problem.kind, problem.expected):
            fault = f"answer cannot be read as {_CALLED[problem.kind]}"
            faults.setdefault(fault, []).append(at + 1)
            del problems[at]
    told = _kinds_told(task, [*problems.values()], is_file=is_file) + [
        f"{task}: {len(rows):,} of {count:,} rows are not asked: {fault} ({_row_names(rows)})"
        for fault, rows in faults.items()
    ]
    if not problems:
        raise EvaluateError("; ".join(told))
    return Task([*problems.values()], told, {fault: len(rows) for fault, rows in faults.items()})


def _with_found_kinds(problems: Mapping[int, Problem]) -> dict[int, Problem]:
    texts = {at: bare(reference(problem.expected)) for at, problem in problems.items()}
    # One letter may be a variable; where all are letters, and not the same, they are options.
    if len({*texts.values()}) > 1 and all(re.fullmatch(r"\(?[A-J]\)?", text) for text in texts.values()):
        return {
            at: replace(each, kind="choice", expected=texts[at].strip("()")) for at, each in problems.items()
        }
    return {at: replace(each, kind="words") if is_words(texts[at]) else each for at, each in problems.items()}


def _kinds_told(task: str, problems: Sequence[Problem], *, is_file: bool) -> list[str]:
    """How references were read, where that was found: of a file, or of a benchmark with several kinds."""
    kinds = Counter(problem.kind for problem in problems)
    if not kinds or (not is_file and len(kinds) == 1):
        return []
    parts = [f"{count:,} as {_CALLED[kind]}" for kind, count in kinds.most_common()]
    ways = "" if not is_file else f" (otherwise: {task}:KIND)"
    return [f"{task}: {len(problems):,} answers are read: {', '.join(parts)}{ways}"]


def _row_names(rows: Sequence[int]) -> str:
    shown = ", ".join(map(str, rows[:_SHOWN_ROWS]))
    return f"row{'s' * (len(rows) > 1)} {shown}{', …' * (len(rows) > _SHOWN_ROWS)}"


def _fault(row: Mapping[str, Any], benchmark: Benchmark) -> str:
    """Why nothing can be asked about a row, "" where it can."""
    problem = row[benchmark.problem]
    if not isinstance(problem, str) or not problem.strip():
        return f"{benchmark.problem} is no text"
    if benchmark.answer and _reference(row[benchmark.answer]) is None:
        return f"{benchmark.answer} is no text or number"
    return ""


def _reference(value: object) -> str | None:
    """The reference of a row, a text, a number or a list of one of them; None where it is none."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return str(value).strip() or None if isinstance(value, str | int | float) else None


def _rows(task: str, benchmark: Benchmark) -> Iterator[Mapping[str, Any]]:
    path = benchmark.path
    try:
        if (suffix := Path(path).suffix) in (".jsonl", ".json", ".parquet"):
            kind = "parquet" if suffix == ".parquet" else "json"
            found = datasets.load_dataset(kind, data_files=path, split="train", streaming=True)
        else:
            found = datasets.load_dataset(path, benchmark.config, split=benchmark.split)
        yield from found
    except StopIteration:
        # As `datasets` says of an empty file.
        return
    except LOADING_ERRORS as error:
        first = str(error).strip().partition("\n")[0]
        raise EvaluateError(f"tasks {task}: {path} cannot be loaded ({first})") from None


def _problem(at: int, row: Mapping[str, Any], benchmark: Benchmark) -> Problem:
    identity = str(row.get(benchmark.identity, at))
    group = str(row.get(benchmark.group, ""))
    text = str(row[benchmark.problem])
    expected = _reference(row.get(benchmark.answer)) or ""
    if benchmark.kind == "choice" and _OPTIONS[0] not in row:
        # The problem has its options in its text.
        prompt = load_template("evaluate_choice").render(problem=text, options=[])
        return Problem(identity, prompt, expected.strip("() .").upper(), "choice", group)
    if benchmark.kind == "choice":
        options = [expected, *(str(row[name]) for name in _OPTIONS)]
        # Each problem has its own order, the same in every evaluation.
        order = random.Random(identity).sample(range(4), 4)
        shown = [("ABCD"[place], options[each]) for place, each in enumerate(order)]
        prompt = load_template("evaluate_choice").render(problem=text, options=shown)
        return Problem(identity, prompt, "ABCD"[order.index(0)], "choice", group)
    if benchmark.kind == "code":
        starter = str(row.get("starter_code") or "")
        prompt = load_template("evaluate_code").render(problem=text, starter=starter)
        tests = {name: row.get(name) for name in ("public_test_cases", "private_test_cases", "metadata")}
        return Problem(identity, prompt, "", "code", group, tests)
    prompt = load_template("evaluate_math").render(problem=text)
    details = (benchmark.judge, dict(row)) if benchmark.judge else None
    return Problem(identity, prompt, expected, benchmark.kind, group, details)
