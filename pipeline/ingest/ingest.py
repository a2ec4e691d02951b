"""Files of traces → trace shards in the run folder."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from pipeline.config import BuildConfig
from pipeline.files.atomic import file_digest, value_digest
from pipeline.files.damage import DamageError, set_aside
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.ingest.benchmarks import Benchmarks
from pipeline.ingest.extract import INGEST_VERSION, STAGE, Digests, extract, number_of_shards
from pipeline.ingest.near_duplicates import near_problems
from pipeline.ingest.row_reader import DamagedFile, rows_in_total, told_of
from pipeline.ingest.scan_file import facts_path, record_of, whole_facts
from pipeline.ingest.scan_files import scan_files
from pipeline.ingest.selection import read_summaries, select
from pipeline.ingest.shard_assignment import earlier_assignments, keep_lists, place
from pipeline.ingest.sources import SourceError, SourceFile, find_files, splits_told
from pipeline.run.outcomes import RejectReason
from pipeline.run.store import RunFolder

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
        value_digest([[file.origin, sha256] for file, sha256 in zip(files, facts.values(), strict=True)]),
        value_digest(_settings(config)),
    )
    record = run.root / STAGE / "selection.json"
    shards = _recorded(record, run, digests)
    if shards is None:
        record.unlink(missing_ok=True)
        chosen = _selected(files, list(facts), config)
        selection = place(chosen, earlier_assignments(run), config.traces_per_shard)
        extract(selection, files, config.source, run, digests, on_progress)
        shards = number_of_shards(selection)
        run.remove_shards_from(shards, [STAGE])
        write_sealed({**digests._asdict(), "version": INGEST_VERSION, "shards": shards}, record)
    keep_lists(run, shards)
    return shards


def choose(config: BuildConfig, run: RunFolder, on_progress: Progress) -> pl.DataFrame:
    """The source's rows as `ingest` would choose them: domain, verdict ("" is taken), detail, file, origin.

    Only the scan is written to the run folder, where `ingest` finds it. on_progress(rows done, rows in
    total; 0 where unknown). Raises SourceError.
    """
    files = find_files(config.source)
    facts = _scan(files, config, run, on_progress)
    names = pl.Series("name", [file.origin for file in files])
    selected = _selected(files, list(facts), config)
    return selected.with_columns(file=names[selected["file"]]).with_columns(
        origin=pl.format("{}:{}", "file", "row")
    )


def source_told(config: BuildConfig) -> str:
    """What to say of the source's splits and layout before it is read; empty where there is nothing to say.

    The layout is that of the first file that can be read. Raises SourceError.
    """
    files = find_files(config.source)
    told = [splits_told(files)]
    for file in files:
        with suppress(DamagedFile):
            told.append(told_of(file, config.source))
            break
    return "\n".join(filter(None, told))


def _selected(files: Sequence[SourceFile], facts: Sequence[Path], config: BuildConfig) -> pl.DataFrame:
    rows = read_summaries(facts)
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
) -> dict[Path, str]:
    """SHA-256 of each file's facts by their path, in order; scanned now where there are no whole ones."""
    folder = run.root / STAGE / "scan"
    paths_of_benchmarks = config.select.decontaminate
    # Once for all files: some benchmarks have a gigabyte of test cases beside their problems.
    benchmarks = (
        Benchmarks(paths_of_benchmarks, config.select.decontaminate_words) if paths_of_benchmarks else None
    )
    paths = [facts_path(folder, file, config, benchmarks) for file in files]
    facts = {path: whole_facts(path) for path in paths}
    due = [(file, path) for file, path in zip(files, paths, strict=True) if facts[path] is None]
    totals = [rows_in_total(file) for file, _ in due]
    total = 0 if None in totals else sum(filter(None, totals))
    done = 0

    def on_rows(rows: int) -> None:
        nonlocal done
        done += rows
        on_progress(done, total)

    scan_files(due, config, on_rows, benchmarks)
    # Facts of earlier sources and configs, and what a killed run has left half-written.
    kept = {*paths, *map(record_of, paths)}
    for path in set(folder.iterdir()) - kept:
        if ".damaged" not in path.suffixes[-1]:
            path.unlink()
    return {path: facts[path] or file_digest(path) for path in paths}


def _recorded(record: Path, run: RunFolder, digests: Digests) -> int | None:
    """The number of shards, where an earlier call has finished all of them as they would be now."""
    try:
        facts = read_sealed(record)
        shards = int(facts.pop("shards"))
    except (FileNotFoundError, KeyError):
        return None
    except DamageError as damage:
        set_aside(damage)
        return None
    made = {**digests._asdict(), "version": INGEST_VERSION}
    if facts != made or any(run.current(STAGE, n, **made) is None for n in range(shards)):
        return None
    return shards


def _refuse_unknown_layouts(rows: pl.DataFrame, files: Sequence[SourceFile]) -> None:
    """An unknown layout is a counted rejection; a source with nothing else is an error."""
    is_unknown = pl.col("verdict") == RejectReason.UNKNOWN_LAYOUT.value
    unknown = rows.filter(is_unknown)
    known = rows.filter(~is_unknown & pl.col("content").is_not_null())
    if unknown.height and not known.height:
        path = files[unknown["file"][0]].path
        raise SourceError(f"no file of the source has a known layout; {path}: {unknown['detail'][0]}")
