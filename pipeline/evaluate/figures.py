"""Figures of an evaluation as SVG: what the cache held, accuracy against it, votes, and the dose-response."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.evaluate.summary import Summary
from pipeline.proportions import wilson_interval
from pipeline.report.colours import COLOURS, INK, LIGHT


def draw_sawtooth(curves: Mapping[str, Sequence[int]], prompt_tokens: int, path: Path) -> None:
    """Tokens in the cache while one problem is answered; curves: by mode, one number for each token."""
    with _axes(path) as axes:
        for number, (mode, held) in enumerate(curves.items()):
            positions = range(prompt_tokens, prompt_tokens + len(held))
            # Each thinner than the one before: where they are the same both are seen.
            width = 1.0 + 1.6 * (len(curves) - 1 - number) / len(curves)
            axes.plot(positions, held, label=mode, color=COLOURS[number % len(COLOURS)], linewidth=width)
        axes.set_xlabel("position in the text, tokens")
        axes.set_ylabel("tokens in the KV cache")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)


def draw_accuracy(summaries: Sequence[Summary], path: Path) -> None:
    """Accuracy of each model in each mode, with its interval, against the most tokens that its cache held."""
    with _axes(path) as axes:
        modes = list(dict.fromkeys(each.mode for each in summaries))
        models = list(dict.fromkeys(each.model for each in summaries))
        for each in summaries:
            if math.isnan(each.peak_tokens):
                continue
            axes.errorbar(
                each.peak_tokens,
                100 * each.accuracy,
                yerr=bars([each.accuracy], [each.accuracy_low], [each.accuracy_high]),
                color=COLOURS[models.index(each.model) % len(COLOURS)],
                marker="os^D"[modes.index(each.mode) % 4],
                capsize=2,
                label=f"{each.model}, {each.mode}",
                linestyle="none",
            )
        axes.set_xlabel("peak of the KV cache, tokens (mean)")
        axes.set_ylabel("right, %")
        axes.set_xlim(left=0)
        axes.set_ylim(-3, 103)
        axes.legend(frameon=False, fontsize=7)


def draw_majority(summaries: Sequence[Summary], path: Path) -> None:
    """maj@k over k, of each model in each mode."""
    with _axes(path) as axes:
        for colour, each in zip(COLOURS * 3, summaries, strict=False):
            axes.plot(
                list(each.majority_at),
                [100 * value for value in each.majority_at.values()],
                "o-",
                color=colour,
                label=f"{each.model}, {each.mode}",
            )
        axes.set_xscale("log", base=2)
        axes.set_xlabel("k, responses that vote")
        axes.set_ylabel("majority is right, %")
        axes.legend(frameon=False, fontsize=7)


def draw_dose_response(by_part: Mapping[str, Mapping[int, tuple[int, int]]], path: Path) -> None:
    """Accuracy over mementos that leave out a register, with 95 % intervals.

    by_part: (right, responses) by number of these mementos, one response to a problem.
    """
    with _axes(path) as axes:
        for colour, (name, doses) in zip(COLOURS * 3, by_part.items(), strict=False):
            xs = sorted(doses)
            shares = [doses[x][0] / doses[x][1] for x in xs]
            ends = [wilson_interval(*doses[x]) for x in xs]
            axes.errorbar(
                xs,
                [100 * share for share in shares],
                yerr=bars(shares, *zip(*ends, strict=True)),
                marker="o",
                color=colour,
                capsize=2,
                label=name,
            )
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("mementos that leave out a register")
        axes.set_ylabel("right, %")
        axes.set_ylim(-3, 103)
        axes.legend(frameon=False, fontsize=7)


def bars(shares: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> list[list[float]]:
    """How far the ends of intervals are from their shares, in percentage points: below, and above."""
    below = [100 * max(0.0, share - low) for share, low in zip(shares, lows, strict=True)]
    return [below, [100 * max(0.0, high - share) for share, high in zip(shares, highs, strict=True)]]


@contextmanager
def _axes(path: Path) -> Iterator[Any]:
    # Not above: it takes a second to import, which no other command need wait for.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # The same data gives the same file.
    with rc_context({"svg.hashsalt": "openmementos", "font.size": 9}):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK)
        axes.grid(color=LIGHT, linewidth=0.5)
        yield axes
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
