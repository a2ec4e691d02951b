"""What two runs came to on the traces that both have, by domain."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from pipeline.compare.mementos import CRITERIA, Pair, differing_most, mementos_of, not_published, same_blocks
from pipeline.recheck.folder import are_rechecks_of_one_run, is_recheck_of
from pipeline.run.store import RunFolder


@dataclass(frozen=True)
class Figure:
    """One number of two runs; None where there is nothing to count it over."""

    name: str
    before: float | None
    after: float | None

    @property
    def difference(self) -> float | None:
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True)
class Domain:
    """Figures over the common traces of one domain, or of all.

    same_blocks: pairs of mementos whose blocks have the same span. Over these, same_text is the share of
    pairs of one text, same_verdict that of pairs of which both mementos pass or neither does, correlation
    that of the judge's points (Pearson); None where there is no pair, or no variance.
    """

    name: str
    traces: int
    figures: tuple[Figure, ...]
    same_blocks: int
    same_text: float | None
    same_verdict: float | None
    correlation: float | None


@dataclass(frozen=True)
class Comparison:
    """Two runs, A before and B after. both: finished traces in both; only: those of A alone, of B alone.

    left_out: of those in both, how many A and B do not publish, by reason (publish.min_score, only_passed).
    domains: all first, then those with most traces. pairs: mementos of the same block that differ most.
    outdated: one is a recheck of the other, which has been built again since with other blocks or mementos;
    or both are rechecks of one run, between which that has happened.
    """

    both: int
    only: tuple[int, int]
    left_out: tuple[dict[str, int], dict[str, int]]
    domains: tuple[Domain, ...]
    pairs: list[Pair]
    outdated: bool


def compare_runs(before: RunFolder, after: RunFolder, *, threshold: int, top: int) -> Comparison:
    """The comparison of two runs' finished traces; a trace's domain is the one run A gives it.

    threshold: judge's points that pass. top: most pairs of mementos to name.
    """
    old, new = mementos_of(before), mementos_of(after)
    domains = old.select("trace_id", "domain").unique().join(new.select("trace_id").unique(), on="trace_id")
    only = tuple(table["trace_id"].n_unique() - domains.height for table in (old, new))
    old, new = (table.drop("domain").join(domains, on="trace_id") for table in (old, new))
    sizes = domains.group_by("domain").len().sort("len", "domain", descending=[True, False])
    same = same_blocks(old, new)
    return Comparison(
        domains.height,
        (only[0], only[1]),
        (_left_out(before, domains), _left_out(after, domains)),
        (
            _domain("all", domains.height, (old, new, same), threshold),
            *(
                _domain(name, size, [table.filter(domain=name) for table in (old, new, same)], threshold)
                for name, size in sizes.rows()
            ),
        ),
        differing_most(before, after, same, top),
        outdated=_outdated(before, after, (old, new, same)),
    )


def _left_out(run: RunFolder, common: pl.DataFrame) -> dict[str, int]:
    both = set(common["trace_id"])
    return dict(Counter(reason.value for trace_id, reason in not_published(run).items() if trace_id in both))


def _outdated(before: RunFolder, after: RunFolder, tables: Sequence[pl.DataFrame]) -> bool:
    old, new, same = tables
    same_text = (same["text"] == same["text_after"]).all() and same.height == old.height == new.height
    related = (
        is_recheck_of(before, after) or is_recheck_of(after, before) or are_rechecks_of_one_run(before, after)
    )
    return related and not same_text


def _domain(name: str, traces: int, tables: Sequence[pl.DataFrame], threshold: int) -> Domain:
    old, new, same = tables
    passes, passes_after = same["score"] >= threshold, same["score_after"] >= threshold
    correlation = same.select(pl.corr("score", "score_after")).item() if same.height > 1 else None
    return Domain(
        name,
        traces,
        _figures(old, new, threshold),
        same.height,
        _mean(same["text"] == same["text_after"]),
        _mean(passes == passes_after),
        # NaN, where all have the same points, is no number.
        correlation if correlation == correlation else None,
    )


def _figures(old: pl.DataFrame, new: pl.DataFrame, threshold: int) -> tuple[Figure, ...]:
    one, other = _numbers(old, threshold), _numbers(new, threshold)
    failed, failed_after = _checks(old), _checks(new)
    checks = sorted(failed.keys() | failed_after.keys())
    return (
        *(Figure(name, value, other[name]) for name, value in one.items()),
        Figure("failed_checks", sum(failed.values()), sum(failed_after.values())),
        *(Figure(f"failed_{name}", failed.get(name, 0), failed_after.get(name, 0)) for name in checks),
    )


def _numbers(mementos: pl.DataFrame, threshold: int) -> dict[str, float | None]:
    block_tokens, tokens = int(mementos["block_tokens"].sum()), int(mementos["tokens"].sum())
    return {
        "mementos": mementos.height,
        "passed_first": _mean(mementos["first_score"] >= threshold),
        "passed_any": _mean(mementos["score"] >= threshold),
        "score_mean": _mean(mementos["score"]),
        **{f"points_{name}": _mean(mementos[name]) for name in CRITERIA},
        "compression": block_tokens / tokens if tokens else None,
        "rounds_mean": _mean(mementos["rounds"]),
    }


def _checks(mementos: pl.DataFrame) -> dict[str, int]:
    """How many kept mementos do not pass each check."""
    names = mementos["checks"].explode().drop_nulls()
    return dict(names.value_counts().rows())


def _mean(values: pl.Series) -> float | None:
    mean = values.mean()
    return float(mean) if isinstance(mean, (int, float)) else None
