"""The results as Markdown tables, for a terminal and for a model's card."""

import math
from collections.abc import Mapping, Sequence

from pipeline.evaluate.register_machine import Carried
from pipeline.evaluate.summary import Summary

_HEAD = (
    "| model | mode | right | well formed | cut off | KV peak | KV area | tokens | tokens/s |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


def results_table(summaries: Sequence[Summary]) -> str:
    """A table for each task: accuracy ± standard error over problems, form, and what the cache held."""
    parts = []
    for task in dict.fromkeys(each.task for each in summaries):
        its = [each for each in summaries if each.task == task]
        parts.append(f"**{task}**, {its[0].problems:,} problems{_samples(its[0])}\n")
        parts += [*_HEAD, *map(_row, its), ""]
        parts += [*_faults(its)]
    return "\n".join(parts)


def carried_table(by_part: Mapping[tuple[str, str], Sequence[Carried]]) -> str:
    """How often a register is right in a block's first line, by whether its memento names it."""
    lines = [
        "| model | mode | carried over, named in the memento | carried over, not named |",
        "| --- | --- | ---: | ---: |",
    ]
    for (model, mode), found in by_part.items():
        named = _share([each.is_right for each in found if each.stated])
        unnamed = _share([each.is_right for each in found if not each.stated])
        lines.append(f"| {model} | {mode} | {named} | {unnamed} |")
    return "\n".join(lines)


def _row(summary: Summary) -> str:
    return (
        f"| {summary.model} | {summary.mode} | {accuracy_text(summary)} | {summary.format_rate:.1%} "
        f"| {summary.truncated_rate:.1%} | {_tokens(summary.peak_tokens)} | {_tokens(summary.area_tokens)} "
        f"| {summary.tokens:,.0f} | {summary.tokens_per_second:,.0f} |"
    )


def accuracy_text(summary: Summary) -> str:
    """Accuracy with its standard error, e.g. "96.9 % ± 2.2"."""
    error = "" if math.isnan(summary.accuracy_error) else f" ± {100 * summary.accuracy_error:.1f}"
    return f"{100 * summary.accuracy:.1f} %{error}"


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


def _share(found: Sequence[bool]) -> str:
    return f"{sum(found) / len(found):.1%} of {len(found):,}" if found else "–"
