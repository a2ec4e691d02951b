"""Statistics of a run: traces, blocks, mementos, compression, judge scores, and the funnel."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from pipeline.llm.deviations import Deviation, taken
from pipeline.report.kv_cache import area_kept, area_with_mementos, peak_tokens
from pipeline.run.store import RunFolder
from pipeline.stages.registry import INGEST, STAGES


@dataclass(frozen=True)
class Summary:
    """Figures over the traces of one domain, or of all. Sizes in tokens, shares from 0 to 1.

    Where there is no trace, means, medians and shares are None.
    """

    domain: str
    traces: int
    sentences: int
    blocks: int
    sentences_mean: float | None
    blocks_mean: float | None
    blocks_median: float | None
    block_tokens: int
    block_tokens_mean: float | None
    block_tokens_median: float | None
    memento_tokens: int
    memento_tokens_mean: float | None
    memento_tokens_median: float | None
    trace_tokens_before: float | None
    """Mean tokens of a reasoning."""
    trace_tokens_after: float | None
    """Mean tokens of all mementos of a trace."""
    compression: float | None
    """Tokens of all blocks / tokens of all mementos."""
    score_mean: float | None
    passed_first: float | None
    """Share of mementos whose first round reached the threshold."""
    passed_last: float | None
    """Share of mementos whose best round reached the threshold."""
    checks: dict[str, int]
    """Kept mementos that do not pass a check, by its name."""


@dataclass(frozen=True)
class Statistics:
    """The records of a run, summed up.

    traces has one row per trace (domain, sentences, blocks, block_tokens, memento_tokens, the sizes of each
    in order, peak_tokens: most tokens held at once where finished blocks are dropped, and the areas of
    `kv_cache`), mementos one per memento (domain, block_tokens, tokens, score, first_score): the figures are
    drawn from them.
    """

    threshold: int
    overall: Summary
    by_domain: tuple[Summary, ...]
    traces: pl.DataFrame
    mementos: pl.DataFrame


@dataclass(frozen=True)
class FunnelRow:
    """Traces in and out of one stage, over all shards; `rejected` by reason."""

    stage: str
    rows_in: int
    rows_out: int
    rejected: dict[str, int]
    failed: int


def dataset_statistics(run: RunFolder, shards: Sequence[int], *, threshold: int) -> Statistics:
    """Figures of the records in these shards, overall and by domain (most traces first).

    threshold: judge's points that pass. Reads shard by shard; some 100 bytes stay in memory per memento.
    """
    traces, mementos = [_EMPTY_TRACES], [_EMPTY_MEMENTOS]
    checks: dict[str, Counter[str]] = defaultdict(Counter)
    for shard in shards:
        records = _read(run, shard)
        of_shard = _mementos(records)
        for domain, check in (
            of_shard.select("domain", "checks").explode("checks").drop_nulls("checks").rows()
        ):
            checks[domain][check] += 1
        mementos.append(of_shard.select(_EMPTY_MEMENTOS.columns).cast(_EMPTY_MEMENTOS.schema))
        traces.append(_traces(records).cast(_EMPTY_TRACES.schema))
    all_traces, all_mementos = pl.concat(traces), pl.concat(mementos)
    domains = all_traces.group_by("domain").len().sort("len", "domain", descending=[True, False])
    return Statistics(
        threshold,
        _summary("all", all_traces, all_mementos, sum(checks.values(), Counter()), threshold),
        tuple(
            _summary(
                domain,
                all_traces.filter(pl.col("domain") == domain),
                all_mementos.filter(pl.col("domain") == domain),
                checks[domain],
                threshold,
            )
            for domain in domains["domain"].to_list()
        ),
        all_traces,
        all_mementos,
    )


def funnel(run: RunFolder, shards: Sequence[int]) -> list[FunnelRow]:
    """Traces in, out, rejected by reason and failed, for each stage that has begun, in the order they run."""
    rows = []
    for name in (INGEST, *(stage.name for stage in STAGES)):
        found = [manifest for shard in shards if (manifest := run.read_manifest(name, shard))]
        rejected: Counter[str] = Counter()
        for manifest in found:
            rejected.update(manifest.rejected)
        if found:
            rows.append(
                FunnelRow(
                    name,
                    sum(manifest.rows_in for manifest in found),
                    sum(manifest.rows_out for manifest in found),
                    dict(sorted(rejected.items())),
                    sum(manifest.failed for manifest in found),
                )
            )
    return rows


def taken_replies(run: RunFolder, shards: Sequence[int]) -> dict[Deviation, int]:
    """Replies that were not as asked for and could be read all the same, by what it was."""
    manifests = (run.read_manifest(stage.name, shard) for stage in STAGES for shard in shards)
    return taken(manifest.counters for manifest in manifests if manifest is not None)


_EMPTY_TRACES = pl.DataFrame(
    schema={
        "domain": pl.String,
        "sentences": pl.Int64,
        "blocks": pl.Int64,
        "block_tokens": pl.Int64,
        "memento_tokens": pl.Int64,
        "block_sizes": pl.List(pl.Int32),
        "memento_sizes": pl.List(pl.Int32),
        "peak_tokens": pl.Int64,
        "area_kept": pl.Float64,
        "area_with_mementos": pl.Float64,
    }
)
_EMPTY_MEMENTOS = pl.DataFrame(
    schema={
        "domain": pl.String,
        "block_tokens": pl.Int64,
        "tokens": pl.Int64,
        "score": pl.Int64,
        "first_score": pl.Int64,
    }
)
# The texts of the mementos are most of a shard's bytes and none of its figures.
_COLUMNS = [
    "domain",
    "sentence_ends",
    "block_tokens",
    *(f"mementos.list.element.{name}" for name in ("tokens", "score", "best_round")),
    *(f"mementos.list.element.rounds.list.element.{name}" for name in ("score", "checks")),
]


def _read(run: RunFolder, shard: int) -> pl.DataFrame:
    frame = pl.from_arrow(run.read("records", shard, _COLUMNS))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _traces(records: pl.DataFrame) -> pl.DataFrame:
    sizes = records.select(
        "domain",
        sentences=pl.col("sentence_ends").list.len(),
        blocks=pl.col("mementos").list.len(),
        block_tokens=pl.col("block_tokens").list.sum(),
        block_sizes=pl.col("block_tokens"),
        memento_sizes=pl.col("mementos").list.eval(pl.element().struct.field("tokens")),
    )
    of_trace = sizes["block_sizes"].to_list(), sizes["memento_sizes"].to_list()
    return sizes.with_columns(
        pl.col("memento_sizes").list.sum().alias("memento_tokens"),
        pl.Series("peak_tokens", map(peak_tokens, *of_trace), pl.Int64),
        pl.Series("area_kept", map(area_kept, sizes["block_tokens"]), pl.Float64),
        pl.Series("area_with_mementos", map(area_with_mementos, *of_trace), pl.Float64),
    ).select(_EMPTY_TRACES.columns)


def _mementos(records: pl.DataFrame) -> pl.DataFrame:
    rounds = pl.col("rounds").list
    return (
        records.select("domain", "block_tokens", "mementos")
        .explode("block_tokens", "mementos")
        .unnest("mementos")
        .with_columns(
            first_score=rounds.first().struct.field("score"),
            checks=rounds.get(pl.col("best_round")).struct.field("checks"),
        )
    )


def _summary(
    domain: str, traces: pl.DataFrame, mementos: pl.DataFrame, checks: Counter[str], threshold: int
) -> Summary:
    block_tokens, memento_tokens = int(traces["block_tokens"].sum()), int(traces["memento_tokens"].sum())
    return Summary(
        domain=domain,
        traces=traces.height,
        sentences=int(traces["sentences"].sum()),
        blocks=int(traces["blocks"].sum()),
        sentences_mean=_mean(traces["sentences"]),
        blocks_mean=_mean(traces["blocks"]),
        blocks_median=_median(traces["blocks"]),
        block_tokens=block_tokens,
        block_tokens_mean=_mean(mementos["block_tokens"]),
        block_tokens_median=_median(mementos["block_tokens"]),
        memento_tokens=memento_tokens,
        memento_tokens_mean=_mean(mementos["tokens"]),
        memento_tokens_median=_median(mementos["tokens"]),
        trace_tokens_before=_mean(traces["block_tokens"]),
        trace_tokens_after=_mean(traces["memento_tokens"]),
        compression=block_tokens / memento_tokens if memento_tokens else None,
        score_mean=_mean(mementos["score"]),
        passed_first=_mean(mementos["first_score"] >= threshold),
        passed_last=_mean(mementos["score"] >= threshold),
        checks=dict(sorted(checks.items())),
    )


def _mean(values: pl.Series) -> float | None:
    mean = values.mean()
    return float(mean) if isinstance(mean, (int, float)) else None


def _median(values: pl.Series) -> float | None:
    median = values.median()
    return float(median) if isinstance(median, (int, float)) else None
