"""The verdicts of a run in RUN/verdicts.parquet: read, one put or taken back, never lost to a kill."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files.atomic import value_digest, write_table, writing
from pipeline.files.damage import DamageError, reading
from pipeline.files.lock import waiting_lock
from pipeline.run.store import RunFolder
from pipeline.verdicts.verdict import Key, Opinion, Verdict
from schemas.tables import VERDICTS

_SEAL = b"checksum"
_REMEDY = "put a copy in its place, or rename it to begin with no verdicts: nothing is written over it"


def read_verdicts(run: RunFolder) -> list[Verdict]:
    """All verdicts of a run, sorted by trace, block and text; none where nobody gave one.

    Raises DamageError.
    """
    path = run.verdicts
    with reading(path):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return []
    try:
        table = pq.read_table(pa.BufferReader(content))
        seal = (table.schema.metadata or {}).get(_SEAL)
        rows = table.select(VERDICTS.names).cast(VERDICTS).to_pylist()
        verdicts = [Verdict(**{**row, "verdict": Opinion(row["verdict"])}) for row in rows]
    # Of bytes that changed, Arrow and Python say so in a dozen ways, from ArrowInvalid to OverflowError.
    except Exception as error:
        raise DamageError(path, str(error), _REMEDY) from error
    # None where somebody has rewritten the file with another program.
    if seal is not None and seal != _digest(verdicts):
        raise DamageError(path, "its checksum does not fit", _REMEDY)
    return verdicts


def put(run: RunFolder, verdict: Verdict) -> list[Verdict]:
    """Keeps a verdict instead of an earlier one about the same text; all verdicts of the run from then on.

    Raises DamageError, WriteError.
    """
    return _changed(run, verdict.key, [verdict])


def take_back(run: RunFolder, key: Key) -> list[Verdict]:
    """Removes the verdict about a text, if there is one; all verdicts of the run from then on.

    Raises DamageError, WriteError.
    """
    return _changed(run, key, [])


def _changed(run: RunFolder, key: Key, instead: Iterable[Verdict]) -> list[Verdict]:
    lock = run.verdicts.with_suffix(".lock")
    # Another thread may change them, or another viewer of the run.
    with writing(lock), waiting_lock(lock):
        before = read_verdicts(run)
        after = sorted([*(one for one in before if one.key != key), *instead], key=lambda one: one.key)
        if after != before:
            _write(after, run.verdicts)
    return after


def _write(verdicts: list[Verdict], path: Path) -> None:
    schema = VERDICTS.with_metadata({_SEAL: _digest(verdicts)})
    table = pa.Table.from_pylist([asdict(one) for one in verdicts], schema)
    try:
        write_table(table, path)
    except FileNotFoundError:
        # A build that begins clears the folder of temporary files, the one that was being written among them.
        write_table(table, path)


def _digest(verdicts: list[Verdict]) -> bytes:
    return value_digest([{**asdict(one), "at": one.at.isoformat()} for one in verdicts]).encode()
