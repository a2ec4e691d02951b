"""Whether mementos are enough: a model sees a trace's problem and its mementos, and has to find its answer.

The last memento usually names the answer, so that it is left out, and shown under a condition of its own; how
often the answer stands in what is shown is counted. Against two others: the problem alone, which tells how
hard it is for that model, and with the whole reasoning, which tells how much the blocks themselves would have
helped.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import pyarrow as pa

from pipeline.evaluate.answers import bare, is_words
from pipeline.evaluate.config import DatasetSection
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.judging import unreadable
from pipeline.evaluate.problems import AnswerKind, Problem
from pipeline.evaluate.published import Trace, read_traces
from pipeline.llm.templates import load_template
from pipeline.records.boxed import answers_not_in, boxed_answers

PROBLEM, MEMENTOS, ALL_MEMENTOS, WHOLE = (
    "problem only",
    "mementos but the last",
    "all mementos",
    "whole trace",
)
CONDITIONS = (PROBLEM, MEMENTOS, ALL_MEMENTOS, WHOLE)
NO_ANSWER = "no boxed answer to compare with"
UNREADABLE = "the boxed answer cannot be read"
ONE_MEMENTO = "without its last memento, which is the only one"
SCHEMA = pa.schema(
    [
        # Of the row's response in UTF-8, as in the configuration `audit`.
        ("response_sha256", pa.string()),
        ("domain", pa.string()),
        # Share of the responses with the trace's answer, under each condition.
        ("problem_only", pa.float64()),
        # Those but the last, and only the first of them where the config says so.
        ("mementos", pa.float64()),
        ("all_mementos", pa.float64()),
        ("whole_trace", pa.float64()),
        # Whether the answer stands already in what is shown: literally, or as a number of the same value.
        ("stands", pa.bool_()),
        ("stands_in_all", pa.bool_()),
        # Whether more than half of the responses reach the answer from the mementos but the last; from all
        # with `dataset.last_memento`, as in files of earlier versions, which have no column all_mementos.
        # Null of a trace that was not asked about so.
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
        if (answer := _boxed(trace)) is None:
            left_out[NO_ANSWER] += 1
            continue
        kind: AnswerKind = "words" if is_words(bare(answer)) else "math"
        if unreadable(kind, answer):
            left_out[UNREADABLE] += 1
            continue
        left_out[ONE_MEMENTO] += len(trace.parsed.mementos) == 1
        for condition, notes in _notes(trace, section.first_blocks).items():
            prompt = template.render(problem=trace.problem, notes=notes)
            problems[condition].append(Problem(trace.digest, prompt, answer, kind, trace.domain))
    if not problems[PROBLEM]:
        raise EvaluateError(
            f"dataset {section.path}: no trace has a boxed answer, so nothing tells which mementos are enough"
        )
    return Asked(problems, dict(+left_out))


def _boxed(trace: Trace) -> str | None:
    boxed = boxed_answers(trace.parsed.answer)
    return boxed[-1] if boxed else None


def _notes(trace: Trace, share: float) -> dict[str, str]:
    """What is shown beside the problem, by condition; without MEMENTOS where there is none but the last."""
    mementos = [memento.strip() for memento in trace.parsed.mementos]
    before = min(max(1, int(share * len(mementos) + _ROUNDING)), len(mementos) - 1)
    notes = {
        PROBLEM: "",
        MEMENTOS: "\n\n".join(mementos[:before]),
        ALL_MEMENTOS: "\n\n".join(mementos),
        WHOLE: trace.parsed.reasoning.strip(),
    }
    return {condition: text for condition, text in notes.items() if text or condition == PROBLEM}


def standing_answers(section: DatasetSection, limit: int | None) -> dict[str, tuple[bool, bool]]:
    """By a trace's digest whether its answer stands in the mementos that are shown, and in all of them."""
    found = {}
    for trace in read_traces(section.path, limit):
        if (answer := _boxed(trace)) is not None:
            notes = _notes(trace, section.first_blocks)
            found[trace.digest] = (
                stands(answer, notes.get(MEMENTOS, "")),
                stands(answer, notes[ALL_MEMENTOS]),
            )
    return found


def stands(answer: str, text: str) -> bool:
    """Whether an answer stands in a text: a number as any of the same value, others as they are written."""
    if _NUMBER.fullmatch(number := answer.strip(" $")) and (wanted := [*_numbers(number)]):
        return wanted[0] in _numbers(text)
    return not answers_not_in([answer], text)


_ROUNDING = 1e-9
_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>[-−]?)(?:\\[dt]?frac\{(?P<over>\d+)\}\{(?P<under>\d+)\}"
    r"|(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?P<part>\.\d+)?(?:/(?P<by>\d+))?)(?P<percent>\s*\\?%)?(?![\w]|\.\d)"
)


def _numbers(text: str) -> Iterator[Fraction]:
    for found in _NUMBER.finditer(text):
        over = found["over"] or found["whole"].replace(",", "") + (found["part"] or "")
        under = int(found["under"] or found["by"] or 1) * (100 if found["percent"] else 1)
        if under:
            yield Fraction(over) / under * (-1 if found["sign"] else 1)


def by_trace(table: pa.Table, standing: Mapping[str, tuple[bool, bool]], *, last_memento: bool) -> pa.Table:
    """What came out for each trace (SCHEMA), from the responses of one model under all conditions.

    standing: as `standing_answers` has it; last_memento: whether all mementos decide what is sufficient.
    """
    rights: dict[tuple[str, str], list[bool]] = {}
    domains: dict[str, str] = {}
    for row in table.select(["task", "problem", "group", "fault"]).to_pylist():
        rights.setdefault((row["problem"], row["task"]), []).append(not row["fault"])
        domains[row["problem"]] = row["group"]
    rows = []
    for digest, domain in domains.items():
        shares = {condition: _share(rights.get((digest, condition), [])) for condition in CONDITIONS}
        reached = shares[ALL_MEMENTOS if last_memento else MEMENTOS]
        before, everywhere = standing.get(digest, (None, None))
        rows.append(
            {
                "response_sha256": digest,
                "domain": domain,
                "problem_only": shares[PROBLEM],
                "mementos": shares[MEMENTOS],
                "all_mementos": shares[ALL_MEMENTOS],
                "whole_trace": shares[WHOLE],
                "stands": before,
                "stands_in_all": everywhere,
                # More often than not.
                "sufficient": None if reached is None else reached > 0.5,
            }
        )
    return pa.Table.from_pylist(rows, SCHEMA)


def sufficiency_table(table: pa.Table) -> str:
    """By domain and in all, how often a trace's answer is reached under each condition, or stands there."""
    lines = [
        f"| domain | traces | {' | '.join(CONDITIONS)} | sufficient | stands in {MEMENTOS} | in all |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = table.to_pylist()
    domains = sorted({row["domain"] for row in rows})
    for domain in [*domains, None] if len(domains) > 1 else domains:
        its = [row for row in rows if domain is None or row["domain"] == domain]
        names = ("problem_only", "mementos", "all_mementos", "whole_trace")
        shares = " | ".join(_mean([row[name] for row in its]) for name in names)
        stands_there = " | ".join(_mean([row[name] for row in its]) for name in ("stands", "stands_in_all"))
        sufficient = sum(bool(row["sufficient"]) for row in its)
        name = "all" if domain is None else domain or "–"
        lines.append(f"| {name} | {len(its):,} | {shares} | {sufficient:,} | {stands_there} |")
    return "\n".join(lines)


def _mean(shares: Sequence[float | None]) -> str:
    found = [share for share in shares if share is not None]
    return f"{sum(found) / len(found):.1%}" if found else "–"


def _share(rights: Sequence[bool]) -> float | None:
    return sum(rights) / len(rights) if rights else None
