"""The first page: where the traces went, what came out, what it cost, and with what it was made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path

import yaml

from pipeline.config import BuildConfig
from pipeline.llm.serving import model_name
from pipeline.report.colours import ON_DARK, ON_LIGHT
from pipeline.report.figures import write_figures
from pipeline.report.picture import Picture
from pipeline.report.rounds import RoundPoints, round_points
from pipeline.report.shown_settings import shown_model, shown_settings
from pipeline.report.stats import FunnelRow, Statistics, dataset_statistics, funnel
from pipeline.report.website.figure_data import DataTable, figure_data
from pipeline.run.effort import Effort, read_effort
from pipeline.run.store import RunFolder
from pipeline.run.totals import Totals, read_totals
from pipeline.stages.registry import INGEST, STAGES

_MOST_SHOWN = 10


@dataclass(frozen=True)
class CostlyTrace:
    """A trace with what it took. path: of its page, if it has one; cost: None where there are no prices."""

    trace_id: str
    path: str | None
    effort: Effort
    cost: float | None


@dataclass(frozen=True)
class Overview:
    """What the template of the first page shows. pictures: (name of the files, caption, data behind it)."""

    totals: Totals
    funnel: list[FunnelRow]
    statistics: Statistics
    rounds: list[RoundPoints]
    pictures: list[tuple[str, str, DataTable]]
    slowest: list[CostlyTrace]
    dearest: list[CostlyTrace]
    model: str
    prompts: list[str]
    versions: list[tuple[str, str]]
    settings: str


def overview(
    run: RunFolder, build: BuildConfig, shards: Sequence[int], paths: Mapping[str, str], folder: Path
) -> Overview:
    """The overview of a run as far as it is; draws its figures into folder/figures, for light and dark.

    run: as it stands; paths: of the traces that have a page, by id.
    """
    efforts = [
        CostlyTrace(trace_id, paths.get(trace_id), effort, effort_cost(build, effort))
        for shard in shards
        for trace_id, effort in read_effort(run, shard).items()
    ]
    finished = [shard for shard in shards if run.read_manifest(STAGES[-1].name, shard) is not None]
    threshold = build.mementos.threshold
    statistics = dataset_statistics(run, finished, threshold=threshold)
    stages = funnel(run, shards)
    return Overview(
        totals=read_totals(run, build, len(shards), seconds=0.0),
        funnel=stages,
        statistics=statistics,
        rounds=round_points(run, shards, threshold=threshold),
        pictures=_pictures(statistics, stages, folder / "figures"),
        slowest=nlargest(_MOST_SHOWN, efforts, key=lambda one: one.effort.seconds),
        dearest=nlargest(_MOST_SHOWN, efforts, key=_price),
        model=shown_model(model_name(build.llm)),
        prompts=list(dict.fromkeys(label for stage in STAGES for label in stage.prompts(build))),
        versions=_versions(run, shards),
        settings=yaml.safe_dump(shown_settings(build), sort_keys=False, allow_unicode=True).strip(),
    )


def effort_cost(build: BuildConfig, effort: Effort) -> float | None:
    """What a trace cost at the config's prices; None without them."""
    prompt = build.llm.price_per_million_prompt_tokens
    completion = build.llm.price_per_million_completion_tokens
    if prompt is None or completion is None:
        return None
    return (prompt * effort.prompt_tokens + completion * effort.completion_tokens) / 1e6


def _price(one: CostlyTrace) -> tuple[float, int]:
    """Its cost, or where no price is known its tokens, generated ones before those read."""
    if one.cost is not None:
        return one.cost, 0
    return one.effort.completion_tokens, one.effort.prompt_tokens


def _pictures(
    statistics: Statistics, stages: Sequence[FunnelRow], folder: Path
) -> list[tuple[str, str, DataTable]]:
    drawn: list[Picture] = []
    for theme in (ON_LIGHT, ON_DARK):
        drawn = write_figures(statistics, stages, folder, suffix=f"-{theme.name}.svg", theme=theme)
    if not drawn:
        return []
    tables = figure_data(statistics, stages)
    names = [picture.path.name.removesuffix(f"-{ON_DARK.name}.svg") for picture in drawn]
    return [(name, picture.caption, tables[name]) for name, picture in zip(names, drawn, strict=True)]


def _versions(run: RunFolder, shards: Sequence[int]) -> list[tuple[str, str]]:
    """By stage, the versions of the code that made its shards."""
    found = []
    for name in (INGEST, *(stage.name for stage in STAGES)):
        manifests = [run.read_manifest(name, shard) for shard in shards]
        versions = sorted({manifest.version for manifest in manifests if manifest is not None})
        if versions:
            found.append((name, ", ".join(map(str, versions))))
    return found
