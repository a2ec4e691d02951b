"""Which published responses have mementos that are enough, as an evaluation of the data set has found."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_COLUMNS = ["response_sha256", "sufficient"]


class SufficiencyError(Exception):
    """The file of publish.sufficiency cannot be used; the message says why and how to make one."""


def read_sufficiency(path: str) -> Mapping[str, bool]:
    """By SHA-256 of a response whether its mementos are enough; of those that were asked about.

    path: RUN/sufficiency/MODEL.parquet of `openmementos evaluate MODEL --dataset …`. Enough are the mementos
    but the last, or all with `dataset.last_memento`, as in older files, without a column `all_mementos`.
    Raises SufficiencyError.
    """
    try:
        table = pq.read_table(path, columns=_COLUMNS)
    except (OSError, pa.ArrowInvalid) as error:
        first = str(error).strip().partition("\n")[0]
        raise SufficiencyError(
            f"publish.sufficiency {Path(path)}: cannot be read ({first}); "
            "`openmementos evaluate MODEL --dataset RUN` writes such a file into its folder's `sufficiency`"
        ) from None
    found = zip(table["response_sha256"].to_pylist(), table["sufficient"].to_pylist(), strict=True)
    return {digest: sufficient for digest, sufficient in found if sufficient is not None}
