"""A plan as figures with stable names, each exact or estimated, and as tables for people."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipeline.plan.estimate import PURPOSES, Basis, Plan
from pipeline.plan.hardware import Fit
from pipeline.plan.prompt_sizes import Load
from pipeline.run.outcomes import RejectReason

_COLUMNS = {
    "requests": "requests",
    "prompt_tokens": "prompt tokens",
    "computed_tokens": "not in prefix cache",
    "generated_tokens": "generated",
}


@dataclass(frozen=True)
class Speeds:
    """Tokens per second of all endpoints together: prompt tokens computed, tokens generated."""

    prompt: float
    generation: float


@dataclass(frozen=True)
class Prices:
    """Per million tokens, in one currency."""

    prompt: float
    completion: float


@dataclass(frozen=True)
class Placed:
    """A model on named hardware. model, on: both in words."""

    model: str
    on: str
    fit: Fit


@dataclass(frozen=True)
class Figure:
    """One number of a plan; note is for people. None: not known, and the note says what to give."""

    key: str
    label: str
    value: float | None
    basis: Basis
    note: str = ""

    @property
    def text(self) -> str:
        if self.value is None:
            return "?"
        return f"{self.value:,}" if isinstance(self.value, int) else f"{self.value:,.2f}"


def figures(
    plan: Plan, speeds: Speeds | None, prices: Prices | None, placed: Placed | None = None
) -> list[Figure]:
    """Everything a plan says, in order, those of the questions included."""
    of_time = _about_time(plan, speeds, prices, placed)
    return [*_about_traces(plan), *_about_questions(plan), *_about_hardware(placed), *of_time]


def as_json(
    plan: Plan, speeds: Speeds | None, prices: Prices | None, placed: Placed | None = None
) -> dict[str, Any]:
    """The plan for a program: {"figures": {key: {"value", "basis"}}, "rejected": {reason: count}, …}."""
    told = {f.key: {"value": f.value, "basis": f.basis} for f in figures(plan, speeds, prices, placed)}
    return {
        "name": plan.name,
        "folder": plan.folder,
        "detector": plan.detector,
        "figures": told,
        "rejected": dict(sorted(plan.rejected.items())),
        "warnings": plan.warnings,
    }


def tables(plan: Plan, speeds: Speeds | None, prices: Prices | None, placed: Placed | None = None) -> Group:
    """The plan for a person."""
    return Group(
        _lines(plan.name, _about_traces(plan)),
        _questions(plan),
        _lines(None, [*_about_hardware(placed), *_about_time(plan, speeds, prices, placed)]),
        *(Text(f"unwise: {warning}", style="yellow") for warning in plan.warnings),
    )


def _about_traces(plan: Plan) -> list[Figure]:
    saved = plan.boundaries - plan.boundaries_asked
    share = f"{plan.detector}: the rules decide {saved / plan.boundaries:.0%}" if plan.boundaries else ""
    reasons = ", ".join(f"{count:,} {RejectReason(name).text}" for name, count in plan.rejected.most_common())
    cut = "" if plan.blocks_basis == "exact" else "cut by the rules' scores"
    return [
        Figure("traces_in", "traces in", plan.traces_in, "exact"),
        Figure("traces_rejected", "rejected", plan.rejected.total(), "exact", reasons),
        Figure("traces_chosen", "chosen", plan.traces_chosen, "exact"),
        Figure("reasoning_tokens", "tokens of reasoning", plan.reasoning_tokens, "exact"),
        Figure("sentences", "sentences", plan.sentences, "exact"),
        Figure("boundaries", "boundaries", plan.boundaries, "exact"),
        Figure("boundaries_asked", "asked of the model", plan.boundaries_asked, "exact", share),
        Figure("blocks", "blocks", plan.blocks, plan.blocks_basis, cut),
    ]


def _about_questions(plan: Plan) -> list[Figure]:
    return [
        Figure(f"{purpose}_{name}", f"{purpose}: {label}", _rounded(load, name), _basis(plan, purpose, name))
        for purpose, load in _loads(plan)
        for name, label in _COLUMNS.items()
    ]


def _about_hardware(placed: Placed | None) -> list[Figure]:
    if placed is None:
        return []
    fits = placed.fit.cache > 0
    remedy = "" if fits else "does not fit: more --gpus, a model in FP8 or a smaller one"
    return [
        Figure("weights_gb", "weights, GB", placed.fit.weights, "estimated", placed.model),
        Figure("kv_cache_gb", "KV cache, GB", max(0.0, placed.fit.cache), "estimated", remedy),
    ]


def _about_time(
    plan: Plan, speeds: Speeds | None, prices: Prices | None, placed: Placed | None
) -> list[Figure]:
    note = "" if speeds else "give --hardware, or --prompt-speed and --generation-speed (tokens per second)"
    if placed is not None:
        fits = placed.fit.cache > 0
        speeds = Speeds(placed.fit.prompt_speed, placed.fit.generation_speed) if fits else None
        note = f"on {placed.on}, scaled from an 8B model on one H200" if fits else "the model does not fit"
    hours = plan.hours(speeds.prompt, speeds.generation) if speeds else None
    cost = plan.cost(prices.prompt, prices.completion) if prices else None
    return [
        Figure("hours", "hours", hours, "estimated", note),
        Figure(
            "cost",
            "cost",
            cost,
            "estimated",
            "" if prices else "give --prompt-price and --completion-price (per million tokens)",
        ),
    ]


def _loads(plan: Plan) -> Iterable[tuple[str, Load]]:
    yield from ((purpose, plan.loads[purpose]) for purpose in PURPOSES)
    yield "total", plan.load


def _rounded(load: Load, name: str) -> int:
    return round(float(getattr(load, name)))


def _basis(plan: Plan, purpose: str, name: str) -> Basis:
    """What an engine's cache will keep is never sure; how many questions there are sometimes is."""
    if purpose == "score" and name != "computed_tokens":
        return "exact"
    if purpose == "compress" and name == "requests":
        return plan.blocks_basis
    return "estimated"


def _lines(title: str | None, shown: Iterable[Figure]) -> Table:
    table = Table(show_header=False, box=None, title=title, title_justify="left", title_style="bold")
    table.add_column(style="bold", min_width=19)
    table.add_column(justify="right", min_width=11)
    table.add_column()
    table.add_column(style="dim")
    for figure in shown:
        table.add_row(figure.label, figure.text, _styled(figure.basis), figure.note)
    return table


def _questions(plan: Plan) -> Table:
    table = Table(
        title="questions to the model (≈ estimated)", title_justify="left", title_style="bold", box=None
    )
    table.add_column("", style="bold")
    for label in _COLUMNS.values():
        table.add_column(label, justify="right")
    table.add_column("")
    for purpose, load in _loads(plan):
        bases = {name: _basis(plan, purpose, name) for name in _COLUMNS}
        cells = [f"{'≈ ' * (bases[name] != 'exact')}{_rounded(load, name):,}" for name in _COLUMNS]
        table.add_row(purpose, *cells, _styled(bases["prompt_tokens"]))
    return table


def _styled(basis: Basis) -> str:
    return "[green]exact[/]" if basis == "exact" else "[yellow]estimated[/]"
