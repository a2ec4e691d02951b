"""What came of each model in each mode on each task, from its responses."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.evaluate.accuracy import Difference, majority_at, paired_difference, pass_at, share_interval
from pipeline.evaluate.modes import Mode
from pipeline.evaluate.responses import NOT_ENDED


@dataclass(frozen=True)
class Summary:
    """Of all responses of one model in one mode to one task.

    accuracy: pass@1, with the ends of its 95 % interval (accuracy.share_interval); pass_at, majority_at:
    by k; peak_tokens, area_tokens, tokens: means over responses, NaN where the cache is not seen;
    tokens_per_second: of all that was written; form_faults, faults: why responses had not the form, or were
    not right, and how many.
    """

    model: str
    task: str
    mode: str
    problems: int
    responses: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    pass_at: dict[int, float]
    majority_at: dict[int, float]
    format_rate: float
    truncated_rate: float
    form_faults: dict[str, int]
    faults: dict[str, int]
    peak_tokens: float
    area_tokens: float
    tokens: float
    tokens_per_second: float
    groups: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As plain data; what is not a number is None."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


def summaries(table: pa.Table) -> list[Summary]:
    """One for each model, task and mode of the responses, in their order."""
    rows = table.drop_columns(["held", "response", "prompt"]).to_pylist()
    by_part: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        by_part.setdefault((row["model"], row["task"], row["mode"]), []).append(row)
    return [_summary(*key, its) for key, its in by_part.items()]


@dataclass(frozen=True)
class Comparison:
    """How much more often one model in one mode is right than another, or itself in another mode.

    problems: those that both were asked, of which the difference is the mean.
    """

    task: str
    model: str
    mode: str
    than_model: str
    than_mode: str
    problems: int
    difference: Difference

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def comparisons(table: pa.Table) -> list[Comparison]:
    """Of each task's responses: each mode against vanilla, and each model against the first in each mode."""
    shares: dict[tuple[str, str, str], dict[str, float]] = {}
    rights: dict[tuple[str, str, str, str], list[bool]] = {}
    for row in table.select(["task", "model", "mode", "problem", "fault"]).to_pylist():
        key = (row["task"], row["model"], row["mode"], row["problem"])
        rights.setdefault(key, []).append(not row["fault"])
    for (task, model, mode, problem), right in rights.items():
        shares.setdefault((task, model, mode), {})[problem] = sum(right) / len(right)
    found = []
    for (task, model, mode), its in shares.items():
        first = next(other for name, other, of in shares if (name, of) == (task, mode))
        for than in ((model, str(Mode.VANILLA)), (first, mode)):
            others = shares.get((task, *than), {})
            both = [problem for problem in its if problem in others]
            if than != (model, mode) and both:
                apart = paired_difference([its[each] for each in both], [others[each] for each in both])
                found.append(Comparison(task, model, mode, *than, len(both), apart))
    return found


def _summary(model: str, task: str, mode: str, rows: Sequence[dict[str, Any]]) -> Summary:
    by_problem: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_problem.setdefault(row["problem"], []).append(row)
    right = {problem: sum(not row["fault"] for row in its) for problem, its in by_problem.items()}
    shares = {problem: right[problem] / len(its) for problem, its in by_problem.items()}
    low, high = share_interval([*shares.values()], len(rows))
    most = min(map(len, by_problem.values()))
    groups: dict[str, list[float]] = {}
    for problem, its in by_problem.items():
        groups.setdefault(its[0]["group"], []).append(shares[problem])
    count, seconds = len(rows), sum(row["seconds"] for row in rows)
    return Summary(
        model=model,
        task=task,
        mode=mode,
        problems=len(by_problem),
        responses=count,
        accuracy=_mean(shares.values()),
        accuracy_low=low,
        accuracy_high=high,
        pass_at={
            k: _mean(pass_at(k, len(its), right[problem]) for problem, its in by_problem.items())
            for k in _powers(most)
        },
        # Programs do not vote: no two are the same.
        majority_at={
            k: _mean(_majority(k, its) for its in by_problem.values())
            for k in (_powers(most) if rows[0]["kind"] != "code" else ())
        },
        format_rate=sum(not row["form_fault"] for row in rows) / count,
        truncated_rate=sum(row["form_fault"] == NOT_ENDED for row in rows) / count,
        form_faults=_counted(row["form_fault"] for row in rows),
        faults=_counted(row["fault"] for row in rows),
        peak_tokens=_mean(row["peak_tokens"] for row in rows if row["peak_tokens"] is not None),
        area_tokens=_mean(row["area_tokens"] for row in rows if row["area_tokens"] is not None),
        tokens=_mean(row["tokens"] for row in rows),
        tokens_per_second=sum(row["tokens"] for row in rows) / seconds if seconds else math.nan,
        groups={name: _mean(its) for name, its in sorted(groups.items())} if len(groups) > 1 else {},
    )


def _powers(most: int) -> list[int]:
    """1, 2, 4, … up to and with `most`."""
    return sorted({2**n for n in range(most.bit_length()) if 2**n <= most} | {most})


def _majority(k: int, rows: Sequence[dict[str, Any]]) -> float:
    return majority_at(k, [row["said"] for row in rows], [not row["fault"] for row in rows])


def _counted(faults: Iterator[str]) -> dict[str, int]:
    return dict(Counter(fault for fault in faults if fault).most_common())


def _mean(values: Any) -> float:
    found = list(values)
    return float(sum(found) / len(found)) if found else math.nan
