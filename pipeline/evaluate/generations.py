"""All responses of an evaluation, on disk: added in parts, none twice, and one Parquet file in the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files.atomic import write_table

SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("task", pa.string()),
        ("mode", pa.string()),
        ("problem", pa.string()),
        ("problem_digest", pa.string()),
        ("kind", pa.string()),
        ("sample", pa.int32()),
        ("seed", pa.int64()),
        ("group", pa.string()),
        ("prompt", pa.string()),
        ("expected", pa.string()),
        ("response", pa.string()),
        ("answer", pa.string()),
        # The answer as it is counted for a majority.
        ("said", pa.string()),
        # Why it is not right, and why the response has not the form of the format; "" where it is, and has.
        ("fault", pa.string()),
        ("form_fault", pa.string()),
        ("is_ended", pa.bool_()),
        ("prompt_tokens", pa.int32()),
        ("tokens", pa.int32()),
        # Of the KV cache, in tokens: the most, and the sum over all tokens that were written; null of an
        # endpoint, whose cache is not seen.
        ("peak_tokens", pa.int32()),
        ("area_tokens", pa.int64()),
        ("held", pa.list_(pa.int32())),
        ("forced_ends", pa.int32()),
        ("recomputed_tokens", pa.int64()),
        # Its share, by tokens, of the time that its batch took.
        ("seconds", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Part:
    """The responses of one model to one task in one mode, in files of their own below `folder`.

    digest: of all that they depend on, so that those of other settings are never taken for these.
    """

    folder: Path
    digest: str

    def done(self) -> list[tuple[str, int]]:
        """Digest of the problem and sample of each response that is there, in the order of `read`."""
        columns = ["problem_digest", "sample"]
        rows = (row for path in self._files() for row in pq.read_table(path, columns=columns).to_pylist())
        return [(row["problem_digest"], row["sample"]) for row in rows]

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keeps the responses of a batch, whole or not at all."""
        self._place.mkdir(parents=True, exist_ok=True)
        write_table(
            pa.Table.from_pylist(list(rows), SCHEMA), self._place / f"{len(self._files()):06}.parquet"
        )

    def read(self) -> pa.Table:
        """All that is there, in the order in which it was added."""
        tables = [pq.read_table(path, schema=SCHEMA) for path in self._files()]
        return pa.concat_tables([SCHEMA.empty_table(), *tables])

    @property
    def _place(self) -> Path:
        return self.folder / "generations" / self.digest[:16]

    def _files(self) -> list[Path]:
        return sorted(self._place.glob("*.parquet"))
