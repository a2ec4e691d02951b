"""Verdicts as a file for others: with the memento and its block, as CSV, JSON lines or Parquet."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.files.atomic import remove_leftovers_of, replacing, write_table
from pipeline.run.store import RunFolder
from pipeline.verdicts.mementos import mementos_of
from pipeline.verdicts.store import read_verdicts
from schemas.tables import VERDICTS

_COLUMNS = pa.schema(
    [
        *VERDICTS,
        # Whether the memento is still the one in the run; the columns after it are empty where it is not.
        pa.field("current", pa.bool_(), nullable=False),
        pa.field("domain", pa.string()),
        pa.field("memento", pa.string()),
        pa.field("block_text", pa.string()),
    ]
)
# What spreadsheets take for the beginning of a formula, white space before it and wide forms included.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


class ExportError(Exception):
    """Verdicts cannot be written to that file; the message says why and what to name instead."""


def export_verdicts(run: RunFolder, path: Path) -> int:
    """Writes all verdicts of a run, the file's suffix naming the form; how many there are.

    Raises ExportError where the suffix names none or the file is the run's own; DamageError, WriteError.
    """
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise ExportError(f"{path}: the name has to end with one of {', '.join(_WRITERS)}")
    if path.resolve() == run.verdicts.resolve():
        raise ExportError(f"{path}: here the run keeps its verdicts; name another file")
    verdicts = read_verdicts(run)
    mementos = {one.key: one for one in mementos_of(run, {one.trace_id for one in verdicts})}
    rows: list[dict[str, Any]] = []
    for verdict in verdicts:
        memento = mementos.get(verdict.key)
        rows.append(
            {
                **asdict(verdict),
                "current": memento is not None,
                "domain": memento and memento.domain,
                "memento": memento and memento.text,
                "block_text": memento and memento.block_text,
            }
        )
    remove_leftovers_of(path)
    write(rows, path)
    return len(rows)


def _csv(rows: list[dict[str, Any]], path: Path) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS.names)
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in _plain(row).items()} for row in rows)


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _jsonl(rows: list[dict[str, Any]], path: Path) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in rows)


def _parquet(rows: list[dict[str, Any]], path: Path) -> None:
    write_table(pa.Table.from_pylist(rows, _COLUMNS), path)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "at": row["at"].isoformat(timespec="milliseconds")}


_WRITERS: dict[str, Callable[[list[dict[str, Any]], Path], None]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
