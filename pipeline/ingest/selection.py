"""Which of the fit rows are taken, and why each other is not."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.config import SelectConfig
from pipeline.ingest.sources import SourceError
from pipeline.run.outcomes import RejectReason


def read_summaries(paths: Sequence[Path]) -> pl.DataFrame:
    """The facts of all files in source order, with `file`, the position of the file among them."""
    frames = [
        pl.scan_parquet(path).select(
            pl.lit(position, pl.Int32).alias("file"),
            *("row", "answer", "content", "problem", "output", "domain", "source", "verdict", "detail"),
        )
        for position, path in enumerate(paths)
    ]
    return pl.concat(frames).collect()


def select(
    facts: pl.DataFrame, names: Sequence[str], config: SelectConfig, near: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The facts, in their order, with every row that is left out marked by its reason.

    facts: as `read_summaries` gives them; names: the files' names, for details; near: the problems to leave
    out, as `near_problems` gives them. Adds `occurrence`, the number (from 1) of the row among those of the
    same content.
    In order: duplicates (the first in source order stays), near duplicates, answers per problem, then mix
    and limit.
    Chance is a hash of content and seed, so the same seed chooses the same traces whatever the order of
    the files, and a larger limit only adds to a smaller one.
    """
    facts = facts.with_columns(
        pl.int_range(1, pl.len() + 1).over("content").alias("occurrence"),
        pl.Series("chance", _chance(facts["content"], config.seed)),
    )
    # Spares looking through all rows where no content comes twice.
    if facts.select(pl.col("occurrence").max() > 1).item():
        facts = _mark(facts, _duplicates(facts, names))
    if near is not None:
        facts = _mark(facts, _near_duplicates(facts, names, near))
    if config.answers_per_problem is not None:
        facts = _mark(facts, _beyond_enough_answers(facts, config.answers_per_problem))
    if config.mix or config.limit is not None:
        facts = _mark(facts, _not_chosen(facts, config))
    return facts.drop("chance")


def _chance(content: pl.Series, seed: int) -> np.ndarray:
    """A number per content that looks random and depends on the seed: the finaliser of splitmix64."""
    mask = 2**64 - 1
    start = np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & mask)
    mixed = content.fill_null(0).to_numpy() + start
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _mark(facts: pl.DataFrame, left_out: pl.DataFrame) -> pl.DataFrame:
    """The facts with the verdicts and details of `left_out` (index, verdict, detail) put in."""
    if left_out.is_empty():
        return facts
    at = left_out["index"]
    return facts.with_columns(
        facts["verdict"].clone().scatter(at, left_out["verdict"]),
        facts["detail"].clone().scatter(at, left_out["detail"]),
    )


def _fit(facts: pl.DataFrame) -> pl.LazyFrame:
    return facts.lazy().with_row_index("index").filter(pl.col("verdict") == "")


def _left_out(rows: pl.LazyFrame, reason: RejectReason, detail: pl.Expr) -> pl.DataFrame:
    return rows.select("index", pl.lit(reason.value).alias("verdict"), detail.alias("detail")).collect()


def _duplicates(facts: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    first = _fit(facts).group_by("content").agg(pl.col("file", "row").first().name.prefix("first_"))
    again = (
        _fit(facts)
        .filter(pl.int_range(pl.len()).over("content") > 0)
        .join(first, on="content", maintain_order="left")
        .join(_named(names), left_on="first_file", right_on="file", maintain_order="left")
    )
    detail = pl.format("the same as {}:{}", "name", "first_row")
    return _left_out(again, RejectReason.DUPLICATE, detail)


def _near_duplicates(facts: pl.DataFrame, names: Sequence[str], near: pl.DataFrame) -> pl.DataFrame:
    rows = (
        _fit(facts)
        .join(near.lazy(), on="problem", maintain_order="left")
        .join(_named(names), left_on="near_file", right_on="file", maintain_order="left")
    )
    detail = pl.format("its problem is {} alike that of {}:{}", pl.col("alike").round(2), "name", "near_row")
    return _left_out(rows, RejectReason.NEAR_DUPLICATE, detail)


def _named(names: Sequence[str]) -> pl.LazyFrame:
    return pl.LazyFrame({"file": range(len(names)), "name": names}).cast({"file": pl.Int32})


def _beyond_enough_answers(facts: pl.DataFrame, enough: int) -> pl.DataFrame:
    place = pl.col("chance").rank("ordinal").over("problem")
    return _left_out(
        _fit(facts).filter(place > enough),
        RejectReason.ENOUGH_ANSWERS,
        pl.lit(f"{enough} other answers to the problem are taken"),
    )


def _not_chosen(facts: pl.DataFrame, config: SelectConfig) -> pl.DataFrame:
    """Webster's method of filling seats: the k-th trace of a domain (from 0) comes at (k + ½) / share.
    (Or of a source, where the config mixes by it.)

    Taken in that order, the shares hold as well as whole traces allow at every limit, a larger limit only
    adds, and a domain that has run out leaves its places to the others in proportion. Without a limit,
    traces are taken until the first domain runs out, so that the shares hold.
    """
    fit = _fit(facts)
    if config.mix:
        by = config.mix_by
        names = fit.select(pl.col(by).unique().sort()).collect()[by].to_list()
        if names:
            _refuse_missing_names(config, names)
        shares = pl.LazyFrame({by: list(config.mix), "share": list(config.mix.values())})
        ranked = fit.join(shares, on=by, how="left", maintain_order="left")
        group: str | pl.Expr = by
    else:
        ranked = fit.with_columns(pl.lit(1.0).alias("share"))
        group = pl.lit(0)
    ranked = ranked.with_columns(
        ((pl.col("chance").rank("ordinal").over(group) - 0.5) / pl.col("share")).alias("turn"),
        (pl.len().over(group) / pl.col("share")).alias("end"),
    )
    listed = ranked.filter(pl.col("turn").is_not_null())
    if config.limit is None:
        chosen = listed.filter(pl.col("turn") < pl.col("end").min())
    else:
        chosen = listed.sort("turn", "chance").head(config.limit)
    rest = ranked.join(chosen.select("index"), on="index", how="anti", maintain_order="left")
    outside = pl.col("turn").is_null()
    detail = (
        pl.when(outside)
        .then(pl.format(f"select.mix has no {config.mix_by} {{}}", config.mix_by))
        .otherwise(pl.lit("by chance"))
    )
    return _left_out(rest, RejectReason.NOT_CHOSEN, detail)


def _refuse_missing_names(config: SelectConfig, names: Sequence[str]) -> None:
    for name in config.mix:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else "use one of their names, or leave it out"
            there = ", ".join(names)
            raise SourceError(
                f"select.mix names the {config.mix_by} {name}, but the fit rows have {there}: {hint}"
            )
