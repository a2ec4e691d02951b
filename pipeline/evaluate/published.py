"""The traces of a data set as they are published: problem, blocks, mementos and answer of each row."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import datasets

from pipeline.evaluate.errors import EvaluateError
from pipeline.records import ParsedResponse, ParseError, parse
from pipeline.sft.rows import LOADING_ERRORS


@dataclass(frozen=True)
class Trace:
    """A row. digest: SHA-256 of its response, as in the configuration `audit`."""

    digest: str
    problem: str
    domain: str
    parsed: ParsedResponse


def read_traces(path: str, limit: int | None) -> Iterator[Trace]:
    """The first `limit` rows of a published folder, a run's, or a data set on the Hub; of all its splits.

    Raises EvaluateError where there is none, and where a row is not of the format.
    """
    for number, row in enumerate(islice(_rows(path), limit)):
        if missing := {"problem", "response"} - row.keys():
            raise EvaluateError(f"dataset {path}: has no column {', '.join(sorted(missing))}")
        response = row["response"]
        try:
            parsed = parse(response)
        except ParseError as error:
            raise EvaluateError(f"dataset {path}: row {number + 1} is not of the format ({error})") from None
        digest = hashlib.sha256(response.encode()).hexdigest()
        yield Trace(digest, row["problem"], row.get("domain") or "", parsed)


def _rows(path: str) -> Iterator[Mapping[str, Any]]:
    folder = Path(path)
    try:
        if folder.is_dir():
            folder = folder / "publish" if (folder / "publish").is_dir() else folder
            files = sorted(map(str, folder.glob("data/*.parquet")))
            if not files:
                raise EvaluateError(
                    f"dataset {path}: has no data/*.parquet; name a run's folder or its `publish`"
                )
            yield from datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
        elif folder.is_absolute() or path.count("/") != 1:
            raise EvaluateError(f"dataset {path}: no such folder, and not the name of a data set on the Hub")
        else:
            yield from chain.from_iterable(datasets.load_dataset(path, streaming=True).values())
    except LOADING_ERRORS as error:
        first = str(error).strip().partition("\n")[0]
        raise EvaluateError(f"dataset {path}: cannot be loaded ({first})") from None
