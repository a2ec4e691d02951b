"""The KV cache of one trace over its tokens, as the points of an SVG: a straight line, and a sawtooth."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.kv_cache import MODELS, Architecture, held_tokens

WIDTH, HEIGHT = 640, 200
"""Of the plotting area, in SVG units."""
_TICKS = 4


@dataclass(frozen=True)
class Tick:
    """A line of the scale: its place in SVG units, and the tokens it stands for."""

    at: float
    tokens: int


@dataclass(frozen=True)
class KvFigure:
    """What the template draws. Paths are of SVG, held and written are tokens.

    points: (tokens written, tokens held with mementos), where the line bends.
    """

    written: int
    peak_kept: int
    peak: int
    kept_path: str
    held_path: str
    points: list[tuple[int, int]]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    models: tuple[Architecture, ...] = MODELS
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def ratio(self) -> float:
        return self.peak_kept / self.peak


def kv_figure(blocks: Sequence[int], mementos: Sequence[int]) -> KvFigure | None:
    """The figure of a trace whose blocks and mementos have these sizes in tokens; None without tokens.

    Kept whole, the trace has its blocks only; with mementos these are written, too.
    """
    points = held_tokens(blocks, mementos)
    kept, written = sum(blocks), points[-1][0]
    peak = max(held for _, held in points)
    if not peak or not kept:
        return None
    most = max(kept, peak)

    def place(x: int, y: int) -> str:
        return f"{WIDTH * x / written:.1f} {HEIGHT - HEIGHT * y / most:.1f}"

    return KvFigure(
        written=written,
        peak_kept=kept,
        peak=peak,
        kept_path=f"M{place(0, 0)} L{place(kept, kept)}",
        held_path="M" + " L".join(place(*point) for point in points),
        points=points,
        x_ticks=[Tick(WIDTH * tokens / written, tokens) for tokens in _steps(written)],
        y_ticks=[Tick(HEIGHT - HEIGHT * tokens / most, tokens) for tokens in _steps(most)],
    )


def _steps(most: int) -> list[int]:
    """Round numbers of tokens from 0 to the most, some five of them."""
    rough = max(1, most // _TICKS)
    unit = 10 ** (len(str(rough)) - 1)
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor * _TICKS * 1.3 >= most)
    return list(range(0, most + 1, step))
