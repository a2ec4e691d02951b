"""Problems of evaluation benchmarks, and whether a trace's problem is one of them."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import fsspec
import polars as pl

from pipeline.ingest.sources import SourceError

# Column of the problem in AIME and MATH-500, in GPQA, in LiveCodeBench, and in others.
PROBLEM_COLUMNS = ("problem", "question", "question_content", "prompt")
# A benchmark problem of fewer words says too little to be looked for inside another text.
FEWEST_WORDS = 6
_WORD = re.compile(r"[^\W_]+")
_READERS: dict[str, Callable[[bytes], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".jsonl": pl.read_ndjson,
    ".json": pl.read_json,
    ".csv": pl.read_csv,
}


class Benchmarks:
    """The word n-grams of the problems of some benchmark files.

    Words are runs of letters and digits in lower case, so LaTeX, punctuation and layout do not count. A
    problem of fewer than n words is looked for as a whole, one of fewer than `FEWEST_WORDS` only as all of
    the text. n = 13 is what the authors of GPT-3 took (arXiv 2005.14165, appendix C).
    """

    def __init__(self, paths: Sequence[str], n: int) -> None:
        """Raises SourceError for a file that cannot be read or has no column of problems."""
        self._runs: dict[int, dict[tuple[str, ...], str]] = {}
        self._whole: dict[tuple[str, ...], str] = {}
        for path in paths:
            for number, problem in enumerate(_problems(path), start=1):
                self._add(tuple(_words(problem)), n, f"{PurePosixPath(path).name}:{number}")

    def _add(self, words: tuple[str, ...], n: int, name: str) -> None:
        if not words:
            return
        if len(words) < FEWEST_WORDS:
            self._whole.setdefault(words, name)
            return
        runs = self._runs.setdefault(min(n, len(words)), {})
        for run in _runs(words, min(n, len(words))):
            runs.setdefault(run, name)

    def match(self, problem: str) -> str | None:
        """File and row (from 1) of a benchmark problem that this one shares words with, and the words."""
        words = tuple(_words(problem))
        if words in self._whole:
            return _told(self._whole[words], words)
        for length, runs in self._runs.items():
            for run in _runs(words, length):
                if run in runs:
                    return _told(runs[run], run)
        return None


def contents(paths: Sequence[str]) -> str:
    """SHA-256 of the files' bytes: facts found with other benchmark files do not hold."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(_bytes(path)).digest())
    return digest.hexdigest()


def _told(name: str, words: Sequence[str]) -> str:
    return f"shares {len(words)} words with {name}: {' '.join(words)}"


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _runs(words: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(length)), strict=False)


def _problems(path: str) -> list[str]:
    suffix = PurePosixPath(path).suffix
    if suffix not in _READERS:
        raise SourceError(f"select.decontaminate: {path} is none of {', '.join(_READERS)}")
    try:
        table = _READERS[suffix](_bytes(path))
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"select.decontaminate: {path} cannot be read: {error}") from error
    column = _problem_column(table.schema)
    if column is None:
        raise SourceError(
            f"select.decontaminate: {path} has the columns {', '.join(table.columns)}, and none of "
            f"{', '.join(PROBLEM_COLUMNS)}: rename the column that holds the problems"
        )
    problems: list[str] = table[column].fill_null("").to_list()
    return problems


def _problem_column(schema: Mapping[str, pl.DataType]) -> str | None:
    texts = {name.lower(): name for name, kind in schema.items() if kind == pl.String}
    return next((texts[name] for name in PROBLEM_COLUMNS if name in texts), None)


def _bytes(path: str) -> bytes:
    try:
        with fsspec.open(path, "rb") as file:
            data: bytes = file.read()
            return data
    except OSError as error:
        raise SourceError(f"select.decontaminate: {path} cannot be read: {error}") from error
