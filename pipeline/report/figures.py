"""The figures of a data set, as files: the same statistics give the same PNGs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from pipeline.report.colours import COLOURS, ON_PAPER, REFUSED, Theme
from pipeline.report.kv_cache import MODELS, held_tokens
from pipeline.report.picture import Picture
from pipeline.report.stats import FunnelRow, Statistics
from pipeline.run.outcomes import RejectReason


def write_figures(
    statistics: Statistics,
    funnel: Sequence[FunnelRow],
    folder: Path,
    *,
    suffix: str = ".png",
    theme: Theme = ON_PAPER,
) -> list[Picture]:
    """Writes the figures into the folder (created); none where there is no trace.

    suffix: of the files, ".png" or ".svg".
    """
    if not statistics.overall.traces:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    return [
        Picture(
            _save(_blocks_per_trace(statistics, theme), folder / f"blocks_per_trace{suffix}"),
            "Blocks per trace, by domain.",
        ),
        Picture(
            _save(_sizes(statistics, theme), folder / f"block_and_memento_size{suffix}"),
            "Sizes of blocks and of the mementos that replace them, by domain: " + _BOXES,
        ),
        Picture(
            _save(_compression(statistics, theme), folder / f"compression_by_domain{suffix}"),
            "Compression of a trace (tokens of its blocks / tokens of its mementos) by domain: " + _BOXES,
        ),
        Picture(
            _save(_kv_cache(statistics, theme), folder / f"kv_cache{suffix}"),
            f"Simulated KV cache of {MODELS[0].name} while it writes the trace of median length: every token "
            "kept, and each block dropped once its memento is written.",
        ),
        Picture(
            _save(_funnel(funnel, theme), folder / f"funnel{suffix}"),
            "Traces that came in, those left out by reason, and those published.",
        ),
    ]


_BOXES = "a box holds the middle half, the whiskers reach to the 5th and 95th percentile."
_SIZE = (7.2, 3.6)
_LONGEST_NAME = 24


def _blocks_per_trace(statistics: Statistics, theme: Theme) -> Figure:
    figure, axes = _new(theme, "blocks per trace", "traces")
    parts = _by_domain(statistics, statistics.traces, "blocks")
    most = max(int(_quantile(statistics.traces["blocks"], 0.99)), 1)
    # The few traces beyond the 99th percentile are counted in the last bar.
    clipped = [blocks.clip(upper_bound=most).to_numpy() for _, blocks in parts]
    names = [name for name, _ in parts]
    step = max(1, -(-most // 40))
    edges = [edge - 0.5 for edge in range(1, most + step + 1, step)]
    axes.set_xlim(edges[0] - 0.1, edges[-1] + 0.1)
    axes.hist(clipped, bins=edges, stacked=True, label=names, color=COLOURS[: len(names)], rwidth=0.9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if (statistics.traces["blocks"] > most).any():
        axes.set_xlabel(f"blocks per trace (in the last bar, more than {most}, too)")
    if len(names) > 1:
        axes.legend(frameon=False, labelcolor=theme.ink)
    return figure


def _sizes(statistics: Statistics, theme: Theme) -> Figure:
    blocks = [
        _box(sizes, name) for name, sizes in _by_domain(statistics, statistics.mementos, "block_tokens")
    ][::-1]
    mementos = [_box(sizes, "") for _, sizes in _by_domain(statistics, statistics.mementos, "tokens")][::-1]
    figure, axes = _new(theme, "tokens", "", height=1 + 0.7 * len(blocks))
    for boxes, colour, lift in ((blocks, COLOURS[0], 0.16), (mementos, COLOURS[1], -0.16)):
        places = [position + lift for position in range(1, len(boxes) + 1)]
        _draw_boxes(axes, theme, boxes, [colour] * len(boxes), places, "{:,.0f}", widths=0.22)
    axes.set_yticks(range(1, len(blocks) + 1), [box["label"] for box in blocks])
    axes.set_ylim(0.5, len(blocks) + 0.7)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    colours = {"blocks": COLOURS[0], "mementos": COLOURS[1]}
    patches = [Patch(color=colour, alpha=0.75, label=name) for name, colour in colours.items()]
    figure.legend(handles=patches, loc="outside upper right", ncols=2, frameon=False, labelcolor=theme.ink)
    return figure


def _compression(statistics: Statistics, theme: Theme) -> Figure:
    traces = statistics.traces.with_columns(ratio=pl.col("block_tokens") / pl.col("memento_tokens"))
    # Drawn from the bottom up, so that the first domain is on top.
    boxes = [_box(ratios, name) for name, ratios in _by_domain(statistics, traces, "ratio")][::-1]
    figure, axes = _new(theme, "compression", "", height=1 + 0.5 * len(boxes))
    places = [float(position) for position in range(1, len(boxes) + 1)]
    _draw_boxes(axes, theme, boxes, COLOURS[: len(boxes)][::-1], places, "{:.1f}x", widths=0.55)
    axes.set_ylim(0.5, len(boxes) + 0.75)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:g}x")
    return figure


def _kv_cache(statistics: Statistics, theme: Theme) -> Figure:
    trace = statistics.traces.sort("block_tokens", maintain_order=True).row(
        (statistics.traces.height - 1) // 2, named=True
    )
    figure, axes = _new(theme, "tokens written", "MB of KV cache")
    per_token = MODELS[0].bytes_per_token / 1e6
    written, held = zip(*held_tokens(trace["block_sizes"], trace["memento_sizes"]), strict=True)
    end = trace["block_tokens"]
    axes.plot([0, end], [0, end * per_token], color=COLOURS[0], label="every token kept")
    axes.plot(written, [tokens * per_token for tokens in held], color=COLOURS[1], label="with mementos")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.legend(frameon=False, labelcolor=theme.ink)
    return figure


def _funnel(funnel: Sequence[FunnelRow], theme: Theme) -> Figure:
    left_out = [
        (f"{RejectReason(reason).text} ({row.stage})", count, REFUSED)
        for row in funnel
        for reason, count in sorted(row.rejected.items(), key=lambda item: -item[1])
    ]
    left_out += [
        (f"failed, to be tried again ({row.stage})", row.failed, theme.light) for row in funnel if row.failed
    ]
    bars = [
        ("traces in", funnel[0].rows_in, COLOURS[0]),
        *left_out,
        ("published", funnel[-1].rows_out, COLOURS[2]),
    ]
    figure, axes = _new(theme, "traces", "", height=1.2 + 0.36 * len(bars))
    names, counts, colours = zip(*bars, strict=True)
    positions = range(len(bars), 0, -1)
    axes.barh(positions, counts, color=colours, height=0.7)
    axes.set_yticks(positions, names)
    for position, count in zip(positions, counts, strict=True):
        axes.annotate(f" {count:,}", (count, position), va="center", ha="left", fontsize=9, color=theme.ink)
    axes.set_xlim(0, max(counts) * 1.12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    return figure


def _new(theme: Theme, x: str, y: str, height: float = _SIZE[1]) -> tuple[Figure, Axes]:
    # A Figure of its own, not pyplot's: no state that is shared between threads.
    figure = Figure(figsize=(_SIZE[0], height), dpi=150, layout="constrained")
    figure.patch.set_facecolor(theme.ground or "none")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    axes.set_xlabel(x, color=theme.ink)
    axes.set_ylabel(y, color=theme.ink)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.ink)
    axes.tick_params(colors=theme.ink)
    axes.set_axisbelow(True)
    axes.grid(axis="x" if not y else "y", color=theme.light, linewidth=0.6)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    # Without the software's name the bytes stay the same under another version of it.
    metadata = {"Software": None} if path.suffix == ".png" else {"Creator": None, "Date": None}
    figure.savefig(path, metadata=metadata)
    return path


def _by_domain(statistics: Statistics, frame: pl.DataFrame, column: str) -> list[tuple[str, pl.Series]]:
    """The column's values by domain, most traces first; domains that no colour is left for are "others"."""
    domains = [summary.domain for summary in statistics.by_domain]
    alone = domains if len(domains) <= len(COLOURS) else domains[: len(COLOURS) - 1]
    parts = [(_label(domain), frame.filter(pl.col("domain") == domain)[column]) for domain in alone]
    if len(alone) < len(domains):
        parts.append(("others", frame.filter(~pl.col("domain").is_in(alone))[column]))
    return parts


def _label(domain: str) -> str:
    # matplotlib reads "$" as mathematics and leaves labels that begin with "_" out.
    return domain[:_LONGEST_NAME].replace("$", r"\$").lstrip("_") or "?"


def _draw_boxes(
    axes: Axes,
    theme: Theme,
    boxes: list[dict[str, Any]],
    colours: Sequence[str],
    places: list[float],
    median: str,
    *,
    widths: float,
) -> None:
    """Lying boxes at these heights, each with its median written above it."""
    drawn = axes.bxp(
        boxes, places, orientation="horizontal", showfliers=False, patch_artist=True, widths=widths
    )
    for patch, colour in zip(drawn["boxes"], colours, strict=True):
        patch.set_facecolor(colour)
        patch.set_alpha(0.75)
    for line in (*drawn["medians"], *drawn["whiskers"], *drawn["caps"]):
        line.set_color(theme.ink)
    for place, box in zip(places, boxes, strict=True):
        at = (box["med"], place + widths / 2)
        axes.annotate(median.format(box["med"]), at, ha="center", va="bottom", fontsize=9, color=theme.ink)


def _quantile(values: pl.Series, share: float) -> float:
    return float(values.quantile(share, "linear") or 0)


def _box(values: pl.Series, label: str) -> dict[str, Any]:
    names = ("whislo", "q1", "med", "q3", "whishi")
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    box = {name: _quantile(values, share) for name, share in zip(names, shares, strict=True)}
    return {**box, "label": label, "fliers": []}
