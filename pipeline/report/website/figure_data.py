"""The numbers behind the figures, as tables for people who would rather read, or cannot see, a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from pipeline.report.kv_cache import MODELS, held_tokens
from pipeline.report.stats import FunnelRow, Statistics
from pipeline.run.outcomes import RejectReason

_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class DataTable:
    """Names of the columns, and rows of texts."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def figure_data(statistics: Statistics, funnel: Sequence[FunnelRow]) -> dict[str, DataTable]:
    """By the stem of a figure's file, the table behind it."""
    return {
        "blocks_per_trace": _blocks(statistics),
        "block_and_memento_size": _sizes(statistics),
        "compression_by_domain": _compression(statistics),
        "kv_cache": _kv_cache(statistics),
        "funnel": _funnel(funnel),
    }


def _blocks(statistics: Statistics) -> DataTable:
    counts = statistics.traces.group_by("domain", "blocks").len().sort("domain", "blocks")
    rows = [(domain, f"{blocks:,}", f"{traces:,}") for domain, blocks, traces in counts.iter_rows()]
    return DataTable(("domain", "blocks", "traces"), rows)


_QUANTILES = tuple(f"{share:.0%}" for share in _SHARES)


def _sizes(statistics: Statistics) -> DataTable:
    rows = [
        (domain, of, *_quantiles(frame[column], ",.0f"))
        for domain, frame in _by_domain(statistics, statistics.mementos)
        for of, column in (("blocks", "block_tokens"), ("mementos", "tokens"))
    ]
    return DataTable(("domain", "tokens of", *_QUANTILES), rows)


def _compression(statistics: Statistics) -> DataTable:
    traces = statistics.traces.with_columns(ratio=pl.col("block_tokens") / pl.col("memento_tokens"))
    rows = [(domain, *_quantiles(frame["ratio"], ".2f")) for domain, frame in _by_domain(statistics, traces)]
    return DataTable(("domain", *_QUANTILES), rows)


def _kv_cache(statistics: Statistics) -> DataTable:
    # The trace of median length, as in the figure.
    trace = statistics.traces.sort("block_tokens", maintain_order=True).row(
        (statistics.traces.height - 1) // 2, named=True
    )
    per_token = MODELS[0].bytes_per_token / 1e6
    rows = [
        (f"{written:,}", f"{held:,}", f"{held * per_token:,.0f}")
        for written, held in held_tokens(trace["block_sizes"], trace["memento_sizes"])
    ]
    return DataTable(("tokens written", "tokens held with mementos", f"MB in {MODELS[0].name}"), rows)


def _funnel(funnel: Sequence[FunnelRow]) -> DataTable:
    rows = [
        (row.stage, RejectReason(reason).text, f"{count:,}")
        for row in funnel
        for reason, count in row.rejected.items()
    ]
    return DataTable(("stage", "reason", "traces left out"), rows)


def _by_domain(statistics: Statistics, frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [
        (summary.domain, frame.filter(pl.col("domain") == summary.domain)) for summary in statistics.by_domain
    ]


def _quantiles(values: pl.Series, form: str) -> list[str]:
    return [format(values.quantile(share, "linear") or 0.0, form) for share in _SHARES]
