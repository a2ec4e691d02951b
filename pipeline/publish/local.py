"""The published folder of a run: written beside its place, then put there in one piece."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import BuildConfig
from pipeline.files.atomic import file_digest, replacing, value_digest
from pipeline.files.damage import DamageError, check_file, free_name, set_aside
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.publish.card import CardFacts, write_card
from pipeline.publish.rows import CONFIGURATIONS, Configuration, Made
from pipeline.publish.shards import write_files
from pipeline.publish.splits import only, split_shares
from pipeline.records.quality import QUALITY_KEYS
from pipeline.records.sufficiency import read_sufficiency
from pipeline.report.shown_settings import shown_model, shown_settings
from pipeline.report.stats import dataset_statistics, funnel, taken_replies
from pipeline.run.store import Manifest, RunFolder, StoreError
from pipeline.text.languages import language_of

LOG = logging.getLogger(__name__)
# Raise when the same records would give other files.
VERSION = 12


@dataclass(frozen=True)
class Published:
    """The published folder; `files` and `bytes` count all its files, `changed`: whether it was written."""

    folder: Path
    rows: int
    files: int
    bytes: int
    changed: bool


def publish(
    run: RunFolder,
    shards: Sequence[int],
    config: BuildConfig,
    *,
    prompts: Sequence[str],
    models: tuple[str, str | None],
) -> Published:
    """Writes RUN/publish from the records of these shards, in their order; leaves it alone if nothing is new.

    prompts: "name@version" of each prompt used; models: the one that wrote the mementos and the judge,
    None where nothing judged them.
    The same records, config, prompts and models give the same bytes. A reader finds the folder whole, old or
    new, or for the moment between two renames not at all. Without any row each configuration has one file
    without rows, which `datasets` loads only when streaming; but where rows are published, these stay.
    Memory: one row group, and some 100 bytes per memento.
    Raises StoreError where a shard has no records.
    """
    writer, judge = models
    made = Made(shown_model(writer), judge and shown_model(judge), tuple(prompts), _sufficient(config))
    inputs = _inputs(run, shards, config, made)
    record = _record_or_none(run)
    damages: list[DamageError] = []
    if record is not None and record["inputs"] == inputs:
        damages = _damages(run.publish, record["files"])
        if not damages:
            return _published(run, record, changed=False)
    if not any(manifest.rows_out for manifest in _records(run, shards)) and _may_hold_rows(run.publish):
        LOG.warning("%s: no trace is left to publish, so what is published stays as it is", run.publish)
        return Published(run.publish, rows=0, files=0, bytes=0, changed=False)
    # Until the new record is written, the old one does not match what is there: a run that is killed in
    # between writes the folder again.
    with replacing(run.publish) as unfinished:
        rows = _write_folder(run, shards, config, made, unfinished)
        files = {
            name: {"bytes": path.stat().st_size, "sha256": file_digest(path)}
            for name, path in _files(unfinished).items()
        }
        if damages:
            _set_aside(run, damages)
    record = {
        "inputs": inputs,
        "shards": list(shards),
        "config": config.model_dump(mode="json"),
        "made": made.as_json(),
        "rows": rows,
        "files": files,
    }
    write_sealed(record, record_path(run))
    return _published(run, record, changed=True)


def whole_files(run: RunFolder, tell: Callable[[str], None]) -> dict[str, str]:
    """SHA-256 of each file of RUN/publish, by its path there; the folder is written again where it is gone.

    Raises StoreError where it never was, is not as it was written, or the run's records have changed since.
    """
    record = _record(run)
    if record is None:
        raise StoreError(f"{run.publish}: nothing is published there yet; run the build to its end first")
    if not run.publish.is_dir():
        tell(f"writing {run.publish}")
        _write_again(run, record)
        return whole_files(run, tell)
    if damages := _damages(run.publish, record["files"]):
        raise StoreError(
            f"{damages[0].path}: not as it was written ({damages[0].detail}); run the build again, "
            "which writes it anew"
        )
    return {name: file["sha256"] for name, file in record["files"].items()}


def _write_again(run: RunFolder, record: dict[str, Any]) -> None:
    config, made = BuildConfig.model_validate(record["config"]), record["made"]
    models = (made["model"], made["judge_model"])
    if (
        _inputs(run, record["shards"], config, Made(*models, tuple(made["prompts"]), _sufficient(config)))
        != record["inputs"]
    ):
        raise StoreError(
            f"{run.publish}: gone, and the run has changed since; run the build to its end first"
        )
    publish(run, record["shards"], config, prompts=made["prompts"], models=models)


def _sufficient(config: BuildConfig) -> Mapping[str, bool]:
    path = config.publish.sufficiency
    return {} if path is None else read_sufficiency(path)


def record_path(run: RunFolder) -> Path:
    """The file that says from what RUN/publish was written, and which files it has."""
    return run.root / "publish.json"


def _records(run: RunFolder, shards: Sequence[int]) -> list[Manifest]:
    """The manifests of the shards' records. Raises StoreError."""
    manifests = []
    for shard in shards:
        manifest = run.read_manifest("records", shard)
        if manifest is None:
            raise StoreError(
                f"{run.manifest('records', shard)}: no such file: shard {shard} has no records to publish; "
                "run the build to its end first"
            )
        manifests.append(manifest)
    return manifests


def _inputs(run: RunFolder, shards: Sequence[int], config: BuildConfig, made: Made) -> str:
    return value_digest(
        {
            "version": VERSION,
            "records": [manifest.output for manifest in _records(run, shards)],
            "funnel": [asdict(row) for row in funnel(run, shards)],
            "taken": taken_replies(run, shards),
            "source": [config.source.name, *config.source.paths],
            "publish": config.publish.model_dump(
                mode="json", exclude={"to", "private", "tag", "sufficiency", *QUALITY_KEYS}
            ),
            "settings": shown_settings(config),
            "made": made.as_json(),
        }
    )


_RECORDED = {"inputs", "shards", "config", "made", "rows", "files"}


def _record(run: RunFolder) -> dict[str, Any] | None:
    """What is published; None where nothing was. Raises DamageError."""
    try:
        record = read_sealed(record_path(run), always=False)
    except FileNotFoundError:
        return None
    if record.keys() != _RECORDED:
        raise DamageError(record_path(run), "not a record of this version")
    return record


def _record_or_none(run: RunFolder) -> dict[str, Any] | None:
    """The same; a damaged record is set aside, and the folder is written again."""
    try:
        return _record(run)
    except DamageError as damage:
        set_aside(damage)
        return None


def _damages(folder: Path, files: dict[str, dict[str, Any]]) -> list[DamageError]:
    """What is not as it was written in the published folder: changed, lost or added files."""
    found = [
        DamageError(path, "not written here") for name, path in _files(folder).items() if name not in files
    ]
    for name, told in files.items():
        try:
            check_file(folder / name, told["bytes"], told["sha256"])
        except DamageError as damage:
            found.append(damage)
    return found


def _set_aside(run: RunFolder, damages: Sequence[DamageError]) -> None:
    """Moves damaged files out of the published folder, to where they lay in it below publish.damaged."""
    if not run.publish.exists():
        LOG.warning("%s: gone; written anew", run.publish)
        return
    aside = free_name(run.publish)
    for damage in damages:
        target = aside / damage.path.relative_to(run.publish)
        if damage.path.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            damage.path.rename(target)
        LOG.warning("%s: %s; the published folder is written anew", damage.path, damage.detail)


def _files(folder: Path) -> dict[str, Path]:
    """The files below the folder by their paths in it, in order."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _write_folder(
    run: RunFolder, shards: Sequence[int], config: BuildConfig, made: Made, folder: Path
) -> int:
    shares = split_shares(config.publish)
    spoken: Counter[str] = Counter()
    files = {
        configuration.name: {
            split: write_files(
                _heard(spoken, configuration, _rows(run, shards, configuration, made, split, shares)),
                configuration.schema,
                folder / configuration.folder,
                split,
                file_bytes=config.publish.shard_bytes,
                row_group_bytes=config.publish.row_group_bytes,
            )
            for split in shares
        }
        for configuration in CONFIGURATIONS
    }
    # It brings matplotlib, which takes a second to import: only for who draws.
    from pipeline.report.figures import write_figures

    statistics = dataset_statistics(run, shards, threshold=config.mementos.threshold)
    stages = funnel(run, shards)
    pictures = write_figures(statistics, stages, folder / "figures")
    taken = taken_replies(run, shards)
    languages = _languages(spoken, statistics.overall.traces)
    write_card(CardFacts(config, made, statistics, stages, taken, pictures, languages, files), folder)
    return statistics.overall.traces


def _may_hold_rows(folder: Path) -> bool:
    """Whether a published folder has rows; a file that cannot be read may have some."""

    def rows(path: Path) -> bool:
        try:
            return bool(pq.read_metadata(path).num_rows)
        except (OSError, pa.ArrowException):
            return True

    return any(rows(path) for path in folder.rglob("*.parquet"))


def _heard(
    spoken: Counter[str], configuration: Configuration, tables: Iterator[pa.Table]
) -> Iterator[pa.Table]:
    """The tables as they are; the languages of the rows are counted, once for all configurations."""
    for table in tables:
        if configuration is CONFIGURATIONS[0]:
            responses = table["response"].to_pylist()
            spoken.update(code for text in responses if (code := language_of(text)) is not None)
        yield table


def _languages(spoken: Counter[str], rows: int) -> dict[str, float]:
    """Shares of rows by language, the largest first; those that 1 % of the rows are in."""
    order = sorted(spoken.items(), key=lambda item: (-item[1], item[0]))
    return {code: count / rows for code, count in order if count >= _LEAST_SHARE * rows}


_LEAST_SHARE = 0.01
_ROWS_AT_ONCE = 64


def _rows(
    run: RunFolder,
    shards: Sequence[int],
    configuration: Configuration,
    made: Made,
    split: str,
    shares: dict[str, float],
) -> Iterator[pa.Table]:
    for shard in shards:
        with pq.ParquetFile(run.opened("records", shard)) as file:
            batches = file.iter_batches(_ROWS_AT_ONCE, columns=list({*configuration.reads, "problem"}))
            records = (pa.Table.from_batches([batch]) for batch in batches)
            for table in only(records, split, shares):
                yield configuration.rows(table, made)


def _published(run: RunFolder, record: dict[str, Any], *, changed: bool) -> Published:
    sizes = [file["bytes"] for file in record["files"].values()]
    return Published(run.publish, record["rows"], len(sizes), sum(sizes), changed)
