"""Whether mementos are enough: a model sees a trace's problem and its mementos, and has to find its answer.

Against two others: the problem alone, which tells how hard it is for that model, and with the whole
reasoning, which tells how much the blocks themselves would have helped.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.evaluate.config import DatasetSection
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.problems import Problem
from pipeline.evaluate.published import Trace, read_traces
from pipeline.llm.templates import load_template
from pipeline.records.boxed import boxed_answers

PROBLEM, MEMENTOS, WHOLE = "problem only", "mementos", "whole trace"
CONDITIONS = (PROBLEM, MEMENTOS, WHOLE)
NO_ANSWER = "no boxed answer to compare with"
SCHEMA = pa.schema(
    [
        # Of the row's response in UTF-8, as in the configuration `audit`.
        ("response_sha256", pa.string()),
        ("domain", pa.string()),
        # Share of the responses with the trace's answer, under each condition.
        ("problem_only", pa.float64()),
        ("mementos", pa.float64()),
        ("whole_trace", pa.float64()),
        ("sufficient", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Asked:
    """The problems by condition; left_out: traces that cannot be asked about, by reason."""

    problems: dict[str, list[Problem]]
    left_out: dict[str, int]


def sufficiency_problems(section: DatasetSection, limit: int | None) -> Asked:
    """What is asked about the traces of a data set. Raises EvaluateError where none can be asked about."""
    template = load_template("evaluate_sufficiency")
    problems: dict[str, list[Problem]] = {condition: [] for condition in CONDITIONS}
    left_out: Counter[str] = Counter()
    for trace in read_traces(section.path, limit):
        boxed = boxed_answers(trace.parsed.answer)
        if not boxed:
            left_out[NO_ANSWER] += 1
            continue
        for condition, notes in _notes(trace, section.first_blocks).items():
            prompt = template.render(problem=trace.problem, notes=notes)
            problems[condition].append(Problem(trace.digest, prompt, boxed[-1], "math", trace.domain))
    if not problems[PROBLEM]:
        raise EvaluateError(
            f"dataset {section.path}: no trace has a boxed answer, so nothing tells which mementos are enough"
        )
    return Asked(problems, dict(left_out))


def _notes(trace: Trace, share: float) -> dict[str, str]:
    shown = max(1, int(share * len(trace.parsed.mementos)))
    mementos = "\n\n".join(memento.strip() for memento in trace.parsed.mementos[:shown])
    return {PROBLEM: "", MEMENTOS: mementos, WHOLE: trace.parsed.reasoning.strip()}


def by_trace(table: pa.Table) -> pa.Table:
    """What came out for each trace (SCHEMA), from the responses of one model under all conditions."""
    rights: dict[tuple[str, str], list[bool]] = {}
    domains: dict[str, str] = {}
    for row in table.select(["task", "problem", "group", "fault"]).to_pylist():
        rights.setdefault((row["problem"], row["task"]), []).append(not row["fault"])
        domains[row["problem"]] = row["group"]
    rows = []
    for digest, domain in domains.items():
        shares = {condition: _share(rights.get((digest, condition), [])) for condition in CONDITIONS}
        rows.append(
            {
                "response_sha256": digest,
                "domain": domain,
                "problem_only": shares[PROBLEM],
                "mementos": shares[MEMENTOS],
                "whole_trace": shares[WHOLE],
                # More often than not.
                "sufficient": None if (reached := shares[MEMENTOS]) is None else reached > 0.5,
            }
        )
    return pa.Table.from_pylist(rows, SCHEMA)


def sufficiency_table(table: pa.Table) -> str:
    """By domain and in all, how often the answer of the trace is reached under each condition."""
    lines = [
        "| domain | traces | problem only | mementos | whole trace | sufficient |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = table.to_pylist()
    domains = sorted({row["domain"] for row in rows})
    for domain in [*domains, None] if len(domains) > 1 else domains:
        its = [row for row in rows if domain is None or row["domain"] == domain]
        shares = (_mean([row[name] for row in its]) for name in ("problem_only", "mementos", "whole_trace"))
        sufficient = sum(bool(row["sufficient"]) for row in its)
        name = "all" if domain is None else domain or "–"
        lines.append(f"| {name} | {len(its):,} | {' | '.join(shares)} | {sufficient:,} |")
    return "\n".join(lines)


def _mean(shares: Sequence[float | None]) -> str:
    found = [share for share in shares if share is not None]
    return f"{sum(found) / len(found):.1%}" if found else "–"


def _share(rights: Sequence[bool]) -> float | None:
    return sum(rights) / len(rights) if rights else None
