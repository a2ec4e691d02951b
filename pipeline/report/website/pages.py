"""The templates of the site, and what every page is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import jinja2

from pipeline.compare import Comparison, figure_rows
from pipeline.llm.deviations import Deviation
from pipeline.report.kv_cache import Architecture
from pipeline.report.website.compare_page import ComparedTrace
from pipeline.report.website.overview import Overview
from pipeline.report.website.plain_text import plain
from pipeline.report.website.trace_page import TraceView
from pipeline.report.website.trace_rows import COLUMNS
from pipeline.run.outcomes import RejectReason
from pipeline.run.totals import Totals
from pipeline.verdicts import Agreement, Verdict
from schemas.replies import Verdict as JudgesVerdict


@dataclass(frozen=True)
class Site:
    """What all pages share. pages: (name, path) of those in the menu; written: when, for people."""

    name: str
    written: str
    pages: tuple[tuple[str, str], ...]


class Pages:
    """The pages of one site as HTML."""

    def __init__(self, site: Site) -> None:
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("pipeline.report.website"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {"site": site, "plain": plain, "megabytes": megabytes}
        environment.filters |= {"count": _count, "decimal": _decimal, "percent": _percent}
        self._environment = environment

    def overview(self, view: Overview, agreement: Agreement) -> str:
        summaries = [*view.statistics.by_domain, view.statistics.overall]
        return self._page(
            "overview.html.j2",
            "index.html",
            view=view,
            agreement=agreement,
            cards=_cards(view),
            summaries=summaries,
            criteria=JudgesVerdict.most_points(),
            reason_text=lambda reason: RejectReason(reason).text,
            deviation=Deviation,
            version=version("openmementos"),
        )

    def traces(self, *, chunks: list[str], rows: int, rows_in_run: int) -> str:
        return self._page(
            "traces.html.j2",
            "traces.html",
            chunks=chunks,
            rows=rows,
            rows_in_run=rows_in_run,
            columns=COLUMNS,
        )

    def trace(
        self,
        view: TraceView,
        path: str,
        neighbours: tuple[str | None, str | None],
        verdicts: Mapping[tuple[int, str], Verdict],
        compared: str | None,
    ) -> str:
        """neighbours: paths of the traces before and after; verdicts: by block and SHA-256 of a memento;
        compared: path of the trace's comparison, if there is one.
        """
        return self._page(
            "trace.html.j2",
            path,
            trace=view,
            neighbours=neighbours,
            verdicts=verdicts,
            compared=compared,
            facts=_facts(view),
        )

    def comparison(self, found: Comparison | None, other: str, paths: Mapping[str, str]) -> str:
        """found: None where no second run is compared; other: its name; paths: of pages by trace."""
        return self._page(
            "compare.html.j2", "compare.html", found=found, other=other, paths=paths, rows=figure_rows
        )

    def compared_trace(self, compared: ComparedTrace, path: str, page: str) -> str:
        """page: path of the trace's own page."""
        facts = [dict(_facts(view)) for view in compared.views]
        told = [(name, [each.get(name, "–") for each in facts]) for name in {**facts[0], **facts[1]}]
        return self._page("compared_trace.html.j2", path, compared=compared, page=page, facts=told)

    def _page(self, template: str, path: str, **what: Any) -> str:
        root = "../" * path.count("/")
        return self._environment.get_template(template).render(root=root, here=path, **what)


def megabytes(tokens: int, model: Architecture) -> str:
    """What so many tokens take in a model's KV cache."""
    size = tokens * model.bytes_per_token / 1e6
    return f"{size / 1000:.2f} GB" if size >= 1000 else f"{size:.0f} MB"


def _cards(view: Overview) -> list[tuple[str, str, str]]:
    """(name, number, what else there is to say) for the top of the overview."""
    totals, overall = view.totals, view.statistics.overall
    rejected = sum(totals.rejected.values())
    cards = [
        ("traces in", _count(totals.traces_in), f"{_count(totals.not_chosen)} not chosen"),
        ("published", _count(totals.done), f"{_count(rejected)} rejected, {_count(totals.failed)} failed"),
        ("blocks", _count(totals.blocks), _blocks_told(totals, overall.blocks_mean)),
    ]
    if totals.compression:
        tokens = f"{_count(totals.block_tokens)} → {_count(totals.memento_tokens)} tokens"
        cards.append(("compression", f"{totals.compression:.1f}×", tokens))
    if totals.mementos:
        first = f"{_percent(totals.passed_first_round / totals.mementos)} in the first round"
        cards.append(("mementos passed", _percent(totals.passed / totals.mementos), first))
    if totals.cost is not None:
        cards.append(("cost", f"{totals.cost:,.2f}", "at the configured prices"))
    return cards


def _blocks_told(totals: Totals, mean: float | None) -> str:
    long = totals.oversized_blocks
    return f"{_decimal(mean)} per trace" + (f", {_count(long)} over partition.max_tokens" if long else "")


def _facts(view: TraceView) -> list[tuple[str, Any]]:
    line, trace, effort = view.story.line, view.story.trace or {}, view.effort
    tokens = sum(block.tokens for block in view.blocks)
    told: list[tuple[str, Any]] = [
        ("domain", line.domain),
        ("source", trace.get("source")),
        ("difficulty", trace.get("difficulty")),
        ("origin", line.origin),
        ("shard", line.shard),
        ("tokens", _count(tokens) if tokens else None),
        ("sentences", line.sentences),
        ("blocks", line.blocks),
        ("compression", f"{line.compression:.1f}×" if line.compression else None),
        ("points, mean", _decimal(line.score) if line.score is not None else None),
        ("rounds, mean", _decimal(line.rounds) if line.rounds is not None else None),
        ("objective", f"{trace['objective']:.3f}" if trace.get("objective") is not None else None),
    ]
    if effort is not None:
        cached = f"{_count(effort.prompt_tokens)} ({_count(effort.cached_tokens)} cached)"
        told += [
            ("seconds at work", _count(effort.seconds)),
            ("requests", _count(effort.requests)),
            ("prompt tokens", cached),
            ("generated", _count(effort.completion_tokens)),
        ]
    return [(name, plain(str(value))) for name, value in told if value not in (None, "")]


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
