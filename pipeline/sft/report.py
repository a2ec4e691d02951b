"""What came of a training run, as numbers, a table and a figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.sft.config import SftConfig
from pipeline.sft.prepare import Prepared
from pipeline.sft.stage_plan import StageResult

TITLES = {"full": "stage 1, every token kept", "memento": "stage 2, finished blocks dropped"}


@dataclass(frozen=True)
class Report:
    """The results by stage; `model` is the folder of the last one's."""

    name: str
    data: str
    revision: str
    model: Path
    results: Mapping[str, StageResult]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "data": {"name": self.data, "revision": self.revision},
            "model": str(self.model),
            "stages": {
                name: {
                    "step": result.step,
                    "held_out_loss": result.held_out_loss,
                    "first_loss": result.losses[0]["loss"],
                    "last_loss": result.losses[-1]["loss"],
                    **result.quality.as_json(),
                }
                for name, result in self.results.items()
            },
        }


def make_report(config: SftConfig, ready: Prepared, results: Mapping[str, StageResult]) -> Report:
    """The report of a finished run."""
    model = list(results.values())[-1].folder
    return Report(config.name, ready.rows.name, ready.rows.revision, model, results)


def table(report: Report) -> str:
    """The stages as a Markdown table."""
    lines = [
        "| | held-out loss | well formed | right | most tokens held, mean |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, result in report.results.items():
        quality = result.quality
        measured = [
            f"{result.held_out_loss:.3f}",
            f"{quality.format_rate:.1%} of {quality.problems}",
            f"{quality.accuracy:.1%}",
            f"{quality.peak_tokens:,.0f}",
        ]
        lines.append(f"| {TITLES[name]} | {' | '.join(measured if quality.problems else measured[:1])} |")
    return "\n".join(lines)


def draw_losses(report: Report, path: Path) -> None:
    """Losses of the stages, one after the other, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    before = 0.0
    for name, result in report.results.items():
        (line,) = axes.plot(
            [before + each["step"] for each in result.losses],
            [each["loss"] for each in result.losses],
            label=TITLES[name],
            linewidth=1,
        )
        axes.plot(
            [before + each["step"] for each in result.evaluations],
            [each["loss"] for each in result.evaluations],
            "o",
            color=line.get_color(),
            label="held out",
        )
        before += max(each["step"] for each in (*result.losses, *result.evaluations))
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
