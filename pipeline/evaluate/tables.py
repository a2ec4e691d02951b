"""The results as Markdown tables, for a terminal and for a model's card."""

import math
from collections.abc import Mapping, Sequence

from pipeline.evaluate.register_machine import Carried, CarriedShare, share_of_carried
from pipeline.evaluate.summary import Comparison, Summary
from pipeline.proportions import wilson_interval

_HEAD = (
    "| model | mode | right | well formed | cut off | KV peak | KV area | tokens | tokens/s |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


def results_table(summaries: Sequence[Summary], compared: Sequence[Comparison] = ()) -> str:
    """A table for each task: accuracy with its interval, form, what the cache held; and what is compared."""
    parts = []
    for task in dict.fromkeys(each.task for each in summaries):
        its = [each for each in summaries if each.task == task]
        parts.append(f"**{task}**, {its[0].problems:,} problems{_samples(its[0])}\n")
        parts += [*_HEAD, *map(_row, its), ""]
        parts += [*_faults(its), *_differences([each for each in compared if each.task == task])]
    return "\n".join(parts)


def carried_table(by_part: Mapping[tuple[str, str], Sequence[Sequence[Carried]]]) -> str:
    """How often a register is right in a block's first line, by whether its memento names it.

    by_part: by model and mode, the registers of each response.
    """
    lines = [
        "| model | mode | carried over, named in the memento | carried over, not named |",
        "| --- | --- | ---: | ---: |",
    ]
    for (model, mode), found in by_part.items():
        named, unnamed = (_share(share_of_carried(found, stated=stated)) for stated in (True, False))
        lines.append(f"| {model} | {mode} | {named} | {unnamed} |")
    return "\n".join(lines)


def dose_table(by_part: Mapping[str, Mapping[int, tuple[int, int]]]) -> str:
    """Right responses by how many of their mementos leave out a register, a column for each model and mode.

    by_part: (right, responses) by number of these mementos.
    """
    lines = [
        f"| mementos that leave out a register | {' | '.join(by_part)} |",
        f"| ---: |{' ---: |' * len(by_part)}",
    ]
    for dose in sorted({dose for doses in by_part.values() for dose in doses}):
        cells = (_of(doses.get(dose, (0, 0))) for doses in by_part.values())
        lines.append(f"| {dose} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _of(counts: tuple[int, int]) -> str:
    right, responses = counts
    if not responses:
        return "–"
    return f"{_with_ends(right / responses, *wilson_interval(right, responses))} of {responses:,}"


def _row(summary: Summary) -> str:
    return (
        f"| {summary.model} | {summary.mode} | {accuracy_text(summary)} | {summary.format_rate:.1%} "
        f"| {summary.truncated_rate:.1%} | {_tokens(summary.peak_tokens)} | {_tokens(summary.area_tokens)} "
        f"| {summary.tokens:,.0f} | {summary.tokens_per_second:,.0f} |"
    )


def accuracy_text(summary: Summary) -> str:
    """Accuracy with its interval, e.g. "99.2 % [95.7, 99.9]"."""
    return _with_ends(summary.accuracy, summary.accuracy_low, summary.accuracy_high)


def _with_ends(share: float, low: float, high: float) -> str:
    return f"{100 * share:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _differences(compared: Sequence[Comparison]) -> list[str]:
    """A line for each comparison, in percentage points."""
    lines = []
    for each in compared:
        one, other = (
            (each.mode, each.than_mode)
            if each.model == each.than_model
            else (f"{each.model}, {each.mode}", f"{each.than_model}, {each.than_mode}")
        )
        apart = each.difference
        ends = f"[{100 * apart.low:+.1f}, {100 * apart.high:+.1f}]"
        name = f"{each.model}: {one} − {other}" if each.model == each.than_model else f"{one} − {other}"
        lines.append(
            f"- {name}: {100 * apart.mean:+.1f} {ends} points on the same {each.problems:,} problems"
        )
    return [*lines, ""] if lines else []


def _tokens(mean: float) -> str:
    return "–" if math.isnan(mean) else f"{mean:,.0f}"


def _samples(summary: Summary) -> str:
    each = summary.responses // summary.problems
    if each < 2:
        return ""
    return f", {each:,} responses each"


def _faults(summaries: Sequence[Summary]) -> list[str]:
    lines = []
    for each in summaries:
        more = [f"pass@{k} {value:.1%}" for k, value in each.pass_at.items() if k > 1]
        more += [f"maj@{k} {value:.1%}" for k, value in each.majority_at.items() if k > 1]
        # As code: what was expected is often a token that Markdown would take for HTML.
        more += [f"{count:,} `{fault}`" for fault, count in each.form_faults.items()]
        if more:
            lines.append(f"- {each.model}, {each.mode}: {', '.join(more)}")
    return [*lines, ""] if lines else []


def _share(found: CarriedShare | None) -> str:
    return f"{_with_ends(found.share, found.low, found.high)} of {found.of:,}" if found else "–"
