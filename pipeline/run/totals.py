"""Totals of a run, for people and programs: traces, blocks, compression, tokens, cost, time."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.config import BuildConfig
from pipeline.files.atomic import write_json
from pipeline.ingest.extract import END_TOKENS
from pipeline.llm.deviations import taken
from pipeline.mementos.writing import MEMENTOS
from pipeline.records.records import RECORDS
from pipeline.run.outcomes import RejectReason, by_kind, most_often, unlabelled
from pipeline.run.reasons import Example, commonest
from pipeline.run.store import Manifest, RunFolder
from pipeline.segmentation.partition.stage import PARTITION
from pipeline.stages.registry import INGEST, STAGES


@dataclass(frozen=True)
class StageTotals:
    """One stage over all shards. seconds: those in which a shard has traces in it, of all shards added up."""

    stage: str
    rows_in: int
    rows_out: int
    rejected: dict[str, int]
    failed: int
    counters: dict[str, int]
    usage: dict[str, dict[str, int]]
    seconds: float


class NothingDone(Exception):
    """A run that has nothing to publish; the message says why. totals: what became of its traces."""

    def __init__(self, totals: "Totals") -> None:
        super().__init__(
            f"{totals.shortfall}. Replies are kept, and so are rows that were published before; "
            f"{Path(totals.folder).parent} lists the traces in failed and rejected: put the cause right and "
            "run the same command to go on"
        )
        self.totals = totals


@dataclass(frozen=True)
class Totals:
    """A whole run. traces_in = done + not_chosen + sum of rejected + failed, always.

    folder: of what is published; report: the first page of the report.
    examples: of rejected traces, what the commonest details of each reason say. end_tokens_taken_off: traces
    whose answer ended with a marker of a tokenizer, which is not published.
    not_chosen: left out by select.mix or select.limit; not the data's fault, and no defect.
    errors: how many traces failed by the kind of their error, the commonest kinds alone.
    blocks and their tokens are those published; oversized_blocks, of all that were cut, have more than
    partition.max_tokens; mementos and how many passed count all that were written.
    points: the judge's points by criterion, means over first rounds ("first_round") and over the rounds that
    were kept ("kept"); empty where nothing was judged.
    taken: replies that were not as asked for and could be read all the same, by what it was (llm.deviations).
    usage: by purpose, tokens and requests of the passes that wrote what lies in the folder, and what earlier,
    unfinished passes had paid for replies that these took from disk (paid_before_…). cost counts both; None
    where no price is configured.
    """

    name: str
    folder: str
    report: str
    traces_in: int
    done: int
    not_chosen: int
    rejected: dict[str, int]
    examples: list[Example]
    end_tokens_taken_off: int
    failed: int
    errors: dict[str, int]
    blocks: int
    oversized_blocks: int
    mementos: int
    block_tokens: int
    memento_tokens: int
    passed_first_round: int
    passed: int
    points: dict[str, dict[str, float]]
    taken: dict[str, int]
    usage: dict[str, dict[str, int]]
    cost: float | None
    seconds: float
    stages: list[StageTotals]

    @property
    def compression(self) -> float | None:
        """Tokens of blocks per token of their mementos; None where there are none."""
        return self.block_tokens / self.memento_tokens if self.memento_tokens else None

    @property
    def shortfall(self) -> str:
        """In a line, what is not as it should be and the commonest reason; empty where nothing failed."""
        if not self.traces_in:
            return "no trace came in"
        if not self.done:
            reasons = {RejectReason(reason).text: n for reason, n in self.rejected.items()}
            not_chosen = {RejectReason.NOT_CHOSEN.text: self.not_chosen}
            return (
                f"none of {self.traces_in:,} traces is done, {most_often(reasons | not_chosen | self.errors)}"
            )
        if self.failed:
            return f"{self.failed:,} trace{'s' * (self.failed > 1)} failed, {most_often(self.errors)}"
        return ""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "compression": self.compression, "shortfall": self.shortfall}

    def write(self, path: Path) -> None:
        write_json(self.as_json(), path)


def read_totals(run: RunFolder, build: BuildConfig, shards: int, *, seconds: float) -> Totals:
    """The totals of a finished run, from its manifests. seconds: time on the wall of this run."""
    by_stage = [_stage_totals(run, name, shards) for name in (INGEST, *(stage.name for stage in STAGES))]
    rejected: Counter[str] = Counter()
    usage: dict[str, Counter[str]] = {}
    counters = {stage.stage: Counter(stage.counters) for stage in by_stage}
    mementos, records = counters[MEMENTOS.name], counters[RECORDS.name]
    for stage in by_stage:
        rejected.update(stage.rejected)
        for purpose, used in stage.usage.items():
            usage.setdefault(purpose, Counter()).update(used)
    not_chosen = rejected.pop(RejectReason.NOT_CHOSEN.value, 0)
    return Totals(
        name=build.name,
        folder=str(run.publish),
        report=str(run.report / "index.html"),
        traces_in=by_stage[0].rows_in,
        done=by_stage[-1].rows_out,
        not_chosen=not_chosen,
        rejected=dict(rejected),
        examples=_examples(run),
        end_tokens_taken_off=counters[INGEST][END_TOKENS],
        failed=sum(stage.failed for stage in by_stage),
        errors=_errors(run, shards),
        blocks=records["blocks"],
        oversized_blocks=counters[PARTITION.name]["oversized_blocks"],
        block_tokens=records["block_tokens"],
        memento_tokens=records["memento_tokens"],
        mementos=mementos["mementos"],
        passed_first_round=mementos["passed_first_round"],
        passed=mementos["passed"],
        points={which: _mean_points(mementos, which) for which in ("first_round", "kept")},
        taken={str(each): count for each, count in taken(counters.values()).items()},
        usage={purpose: dict(used) for purpose, used in usage.items()},
        cost=cost_of(build, usage),
        seconds=round(seconds, 3),
        stages=by_stage,
    )


# More would make the totals as long as the list of failed traces.
_MOST_KINDS = 10


def _errors(run: RunFolder, shards: int) -> dict[str, int]:
    errors: Counter[str] = Counter()
    for stage in STAGES:
        for shard in range(shards):
            manifest = run.read_manifest(stage.name, shard)
            if manifest is not None and manifest.failed:
                errors.update(map(unlabelled, run.read_failed(stage.name, shard)["error"].to_pylist()))
    return dict(by_kind(errors).most_common(_MOST_KINDS))


def _examples(run: RunFolder) -> list[Example]:
    """Of all that is rejected; the tables are small beside the traces, and read in one pass."""
    paths = sorted(run.rejected(INGEST, 0).parent.glob("*-[0-9][0-9][0-9][0-9][0-9]*.parquet"))
    return commonest(pl.scan_parquet(paths).select("reason", "detail", "origin")) if paths else []


def _mean_points(counters: Counter[str], which: str) -> dict[str, float]:
    """Mean points by criterion; empty where nothing was judged."""
    judged, prefix = counters[f"judged.{which}"], f"points.{which}."
    sums = {name.removeprefix(prefix): n for name, n in counters.items() if name.startswith(prefix)}
    return {name: n / judged for name, n in sums.items()} if judged else {}


def _stage_totals(run: RunFolder, name: str, shards: int) -> StageTotals:
    manifests = [m for shard in range(shards) if (m := run.read_manifest(name, shard)) is not None]
    return StageTotals(
        stage=name,
        rows_in=sum(m.rows_in for m in manifests),
        rows_out=sum(m.rows_out for m in manifests),
        rejected=_added(m.rejected for m in manifests),
        failed=sum(m.failed for m in manifests),
        counters=_added(m.counters for m in manifests),
        usage=_usage(manifests),
        seconds=round(sum(m.seconds for m in manifests), 3),
    )


def _usage(manifests: list[Manifest]) -> dict[str, dict[str, int]]:
    purposes = sorted({purpose for m in manifests for purpose in m.usage})
    return {purpose: _added(m.usage.get(purpose, {}) for m in manifests) for purpose in purposes}


def _added(counts: Any) -> dict[str, int]:
    added: Counter[str] = Counter()
    for one in counts:
        added.update(one)
    return dict(added)


def cost_of(build: BuildConfig, usage: dict[str, Counter[str]]) -> float | None:
    """Price of all tokens, of this run and earlier ones; None where no price is configured."""
    prompt = build.llm.price_per_million_prompt_tokens
    completion = build.llm.price_per_million_completion_tokens
    if prompt is None or completion is None:
        return None
    # What earlier runs paid counts; cached tokens at the full price, since discounts differ by provider.
    prompt_tokens = sum(u["prompt_tokens"] + u["paid_before_prompt_tokens"] for u in usage.values())
    completion_tokens = sum(
        u["completion_tokens"] + u["paid_before_completion_tokens"] for u in usage.values()
    )
    return (prompt * prompt_tokens + completion * completion_tokens) / 1e6
