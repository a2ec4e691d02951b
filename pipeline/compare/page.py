"""A comparison as tables for people and as JSON for programs."""

from dataclasses import asdict
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipeline.compare.figures import Comparison, Domain
from pipeline.compare.mementos import Pair
from pipeline.run.outcomes import RejectReason
from schemas.replies import Verdict

_LABELS = {
    "passed_first": "pass in the first round",
    "passed_any": "pass in any round",
    "score_mean": "judge's points, mean",
    **{f"points_{name}": f"  {name} of {most}" for name, most in Verdict.most_points().items()},
    "compression": "compression",
    "rounds_mean": "rounds per memento",
    "failed_checks": "failed checks",
}
_SHARES = ("passed_first", "passed_any")
_BEGINNING = 120
_OUTDATED = (
    "the run has been built again since it was rechecked, and has other mementos now: what differs below is "
    "not the judge alone. Run `openmementos recheck` once more, for both where both are rechecks."
)


def as_json(found: Comparison) -> dict[str, Any]:
    """The comparison for a program: figures by domain and name, each {"a", "b", "difference"}."""
    return {
        "traces": {"both": found.both, "only_a": found.only[0], "only_b": found.only[1]},
        "left_out": dict(zip("ab", found.left_out, strict=True)),
        "domains": {
            domain.name: {
                "traces": domain.traces,
                "same_blocks": domain.same_blocks,
                "same_text": domain.same_text,
                "same_verdict": domain.same_verdict,
                "correlation": domain.correlation,
                "figures": {
                    f.name: {"a": f.before, "b": f.after, "difference": f.difference} for f in domain.figures
                },
            }
            for domain in found.domains
        },
        "mementos": [asdict(pair) for pair in found.pairs],
        "outdated": found.outdated,
    }


def tables(found: Comparison) -> Group:
    """The comparison for a person."""
    counts = f"{_traces(found.both)} in both, {found.only[0]:,} only in A, {found.only[1]:,} only in B"
    pairs = "mementos of the same block that differ most:" if found.pairs else ""
    return Group(
        Text(counts),
        *(_left_out(name, reasons) for name, reasons in zip("AB", found.left_out, strict=True) if reasons),
        *([Text(_OUTDATED, style="bold red")] if found.outdated else []),
        *(part for domain in found.domains for part in (_domain(domain), _agreement(domain))),
        Text(pairs, style="bold"),
        *(_pair(pair) for pair in found.pairs),
    )


def _left_out(name: str, reasons: dict[str, int]) -> Text:
    told = ", ".join(f"{number:,} for {RejectReason(reason).text}" for reason, number in reasons.items())
    return Text(f"of those in both, {name} does not publish {told}")


def _domain(domain: Domain) -> Table:
    title = Text(f"{domain.name}, {_traces(domain.traces)}", style="bold")
    table = Table(box=None, title=title, title_justify="left")
    table.add_column("", min_width=24)
    for name in ("A", "B", "difference"):
        table.add_column(name, justify="right", min_width=10)
    for label, *values in figure_rows(domain):
        table.add_row(Text(label), *values)
    return table


def figure_rows(domain: Domain) -> list[tuple[str, str, str, str]]:
    """A domain's figures in words: name, A, B, difference."""
    return [
        (
            _LABELS.get(f.name, f.name.replace("_", " ")),
            _told(f.name, f.before),
            _told(f.name, f.after),
            _told(f.name, f.difference, signed=True),
        )
        for f in domain.figures
    ]


def _agreement(domain: Domain) -> Text:
    if domain.same_text is None or domain.same_verdict is None:
        return Text("no blocks with the same span\n")
    blocks = f"{domain.same_blocks:,} blocks with the same span"
    told = (
        f"{blocks}: one text for {domain.same_text:.1%}, both pass or neither for {domain.same_verdict:.1%}"
    )
    if domain.correlation is not None:
        told += f", points correlate by {domain.correlation:.2f}"
    return Text(f"{told}\n")


def _traces(number: int) -> str:
    return f"{number:,} trace{'s' * (number != 1)}"


def _told(name: str, value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "-"
    sign = "+" if signed and value else ""
    if name in _SHARES:
        return f"{value * 100:{sign}.1f} %"
    return f"{value:{sign},}" if isinstance(value, int) else f"{value:{sign},.2f}"


def _pair(pair: Pair) -> Text:
    head = f"trace {pair.trace_id}, characters {pair.start:,} to {pair.end:,}: "
    one, other = pair.mementos
    lines = [
        f"{head}{pair.scores[0]} and {pair.scores[1]} points",
        f"  block: {_line(pair.text[:_BEGINNING])}{' …' * (len(pair.text) > _BEGINNING)}",
        *([f"  both: {_line(one)}"] if one == other else [f"  A: {_line(one)}", f"  B: {_line(other)}"]),
    ]
    before, after = pair.points
    differing = [f"{name} {before[name]} and {after[name]}" for name in before if before[name] != after[name]]
    if differing:
        lines.append(f"  points: {', '.join(differing)}")
    for name, missing in zip("AB", pair.missing, strict=True):
        if missing:
            lines.append(f"  missing by {name}: {_line('; '.join(missing))}")
    for name, reason in zip("AB", pair.left_out, strict=True):
        if reason:
            lines.append(f"  not published by {name}: {reason}")
    return Text("\n".join(lines))


def _line(text: str) -> str:
    """On one line, and without what a terminal would take for a command."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
