"""Files of traces → trace shards in the run folder."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from pipeline.config import BuildConfig
from pipeline.files import file_digest, value_digest, write_json
from pipeline.ingest.benchmarks import Benchmarks
from pipeline.ingest.extract import INGEST_VERSION, STAGE, Digests, extract, number_of_shards
from pipeline.ingest.near_duplicates import near_problems
from pipeline.ingest.place import earlier_places, place
from pipeline.ingest.rows import DamagedFile, rows_in_total, told_of
from pipeline.ingest.scan import facts_path
from pipeline.ingest.scanning import scan_files
from pipeline.ingest.selection import read_facts, select
from pipeline.ingest.sources import SourceError, SourceFile, find_files
from pipeline.outcomes import RejectReason
from pipeline.store import RunFolder

Progress = Callable[[int, int], None]


def ingest(config: BuildConfig, run: RunFolder, on_progress: Progress) -> int:
    """The number of trace shards that the run folder now holds, numbered from 0; at least one.

    Two passes over the source: a scan that keeps what selection needs, then the chosen rows. What an
    earlier call finished (files scanned, shards written) is not done again; one with nothing new writes
    nothing. Where the source or the selection has changed since, traces that are still chosen keep their
    shard and place, so that later stages keep what they have made of them; new ones get shards of their own.
    Shards of an earlier selection that are too many are removed.
    on_progress(rows done, rows in total): first for the scan, where the total is 0 if it is not known,
    then for the chosen rows.
    Raises SourceError where the source cannot be read as configured.
    """
    files = find_files(config.source)
    facts = _scan(files, config, run, on_progress)
    digests = Digests(
        value_digest([[file.origin, file_digest(path)] for file, path in zip(files, facts, strict=True)]),
        value_digest(_settings(config)),
    )
    record = run.root / STAGE / "selection.json"
    shards = _recorded(record, run, digests)
    if shards is not None:
        return shards
    record.unlink(missing_ok=True)
    selection = place(
        _selected(files, facts, config), earlier_places(run.root / STAGE), config.traces_per_shard
    )
    extract(selection, files, config.source, run, digests, on_progress)
    shards = number_of_shards(selection)
    run.remove_shards_from(shards, [STAGE])
    write_json({**digests._asdict(), "version": INGEST_VERSION, "shards": shards}, record)
    return shards


def choose(config: BuildConfig, run: RunFolder, on_progress: Progress) -> pl.DataFrame:
    """The rows of the source as `ingest` would choose them, each with its domain and verdict ("" is taken).

    Only the scan is written to the run folder, where `ingest` finds it. on_progress(rows done, rows in
    total; 0 where unknown). Raises SourceError.
    """
    files = find_files(config.source)
    facts = _scan(files, config, run, on_progress)
    return _selected(files, facts, config)


def source_told(config: BuildConfig) -> str:
    """What to say of the source's layout before it is read; empty where its names say it themselves.

    Of the first file that can be read. Raises SourceError.
    """
    for file in find_files(config.source):
        with suppress(DamagedFile):
            return told_of(file, config.source)
    return ""


def _selected(files: Sequence[SourceFile], facts: Sequence[Path], config: BuildConfig) -> pl.DataFrame:
    rows = read_facts(facts)
    _refuse_unknown_layouts(rows, files)
    alike = config.select.near_duplicates
    near = None if alike is None else near_problems(facts, alike)
    return select(rows, [file.origin for file in files], config.select, near)


def _settings(config: BuildConfig) -> list[object]:
    """What the shards depend on besides the files."""
    source = config.source.model_dump(mode="json", include={"layout", "columns", "think"})
    return [
        source,
        config.select.model_dump(mode="json"),
        config.split.tokenizer,
        config.traces_per_shard,
    ]


def _scan(
    files: Sequence[SourceFile], config: BuildConfig, run: RunFolder, on_progress: Progress
) -> list[Path]:
    """The files' facts; scanned now where they are not there yet."""
    folder = run.root / STAGE / "scan"
    paths_of_benchmarks = config.select.decontaminate
    # Once for all files: some benchmarks have a gigabyte of test cases beside their problems.
    benchmarks = (
        Benchmarks(paths_of_benchmarks, config.select.decontaminate_words) if paths_of_benchmarks else None
    )
    paths = [facts_path(folder, file, config, benchmarks) for file in files]
    due = [(file, path) for file, path in zip(files, paths, strict=True) if not path.exists()]
    totals = [rows_in_total(file) for file, _ in due]
    total = 0 if None in totals else sum(filter(None, totals))
    done = 0

    def on_rows(rows: int) -> None:
        nonlocal done
        done += rows
        on_progress(done, total)

    scan_files(due, config, on_rows, benchmarks)
    # Facts of earlier sources and configs, and what a killed run has left half-written.
    for path in set(folder.iterdir()) - set(paths):
        path.unlink()
    return paths


def _recorded(record: Path, run: RunFolder, digests: Digests) -> int | None:
    """The number of shards, where an earlier call has finished all of them as they would be now."""
    if not record.exists():
        return None
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))
        shards = int(facts.pop("shards"))
    except (ValueError, KeyError):
        return None
    made = {**digests._asdict(), "version": INGEST_VERSION}
    if facts != made or any(run.current(STAGE, n, **made) is None for n in range(shards)):
        return None
    return shards


def _refuse_unknown_layouts(rows: pl.DataFrame, files: Sequence[SourceFile]) -> None:
    """One strange file among others is a counted rejection; a source of nothing else is a mistake."""
    is_unknown = pl.col("verdict") == RejectReason.UNKNOWN_LAYOUT.value
    unknown = rows.filter(is_unknown)
    known = rows.filter(~is_unknown & pl.col("content").is_not_null())
    if unknown.height and not known.height:
        path = files[unknown["file"][0]].path
        raise SourceError(f"no file of the source has a known layout; {path}: {unknown['detail'][0]}")
