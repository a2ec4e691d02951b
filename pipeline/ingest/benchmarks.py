"""Problems of evaluation benchmarks, and whether a trace's problem is one of them."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import PurePosixPath

import fsspec
import polars as pl

from pipeline.ingest.ngrams import amount, ngrams, readable, words
from pipeline.ingest.sources import SourceError

# Column of the problem in AIME and MATH-500, in GPQA, in LiveCodeBench, and in others.
PROBLEM_COLUMNS = ("problem", "question", "question_content", "prompt")
# A benchmark problem of fewer words says too little to be looked for inside another text.
FEWEST_WORDS = 6
# Words that more different problems share are a set phrase ("where m and n are relatively prime …").
MOST_PROBLEMS_WITH_A_RUN = 3
# Lazily, so that only the problems are read: other columns are large or of no one type.
_READERS: dict[str, Callable[[io.BytesIO], pl.LazyFrame]] = {
    ".parquet": pl.scan_parquet,
    ".jsonl": pl.scan_ndjson,
    ".json": lambda data: pl.read_json(data).lazy(),
    ".csv": pl.scan_csv,
}


class Benchmarks:
    """The word n-grams of the problems of some benchmark files.

    Words are runs of letters and digits in lower case, so LaTeX, punctuation and layout do not count; where a
    script has no spaces, two Chinese signs count as a word. A
    problem of fewer than n words is looked for as a whole, one of fewer than `FEWEST_WORDS` only as all of
    the text. Set phrases do not count; a problem of nothing else is looked for as a whole. n = 13 is what the
    authors of GPT-3 took (arXiv 2005.14165, appendix C).
    """

    def __init__(self, paths: Sequence[str], n: int) -> None:
        """Raises SourceError for a file that cannot be read or has no column of problems."""
        self._runs: dict[float, dict[tuple[str, ...], str]] = {}
        self._whole: dict[tuple[str, ...], str] = {}
        named: dict[tuple[str, ...], str] = {}
        digest = hashlib.sha256()
        for path in paths:
            problems = _problems(path)
            digest.update(json.dumps([PurePosixPath(path).name, problems]).encode())
            for number, problem in enumerate(problems, start=1):
                named.setdefault(tuple(words(problem)), f"{PurePosixPath(path).name}:{number}")
        problems_with = Counter(run for told in named for run in set(ngrams(told, n)))
        phrases = {run for run, count in problems_with.items() if count > MOST_PROBLEMS_WITH_A_RUN}
        for told, name in named.items():
            self._add(told, n, name, phrases)
        # Of the problems and the names that details give: facts found with others do not hold.
        self.digest = digest.hexdigest()

    def _add(self, told: tuple[str, ...], n: int, name: str, phrases: Set[tuple[str, ...]]) -> None:
        tells = any(run not in phrases for run in ngrams(told, n))
        length = n if tells else amount(told)
        if length < FEWEST_WORDS:
            if told:
                self._whole.setdefault(told, name)
            return
        known = self._runs.setdefault(length, {})
        for run in ngrams(told, length):
            if run not in phrases:
                known.setdefault(run, name)

    def match(self, problem: str) -> str | None:
        """File and row (from 1) of a benchmark problem that this one shares words with, and the words."""
        told = tuple(words(problem))
        if told in self._whole:
            return _shared(self._whole[told], told)
        for length, known in self._runs.items():
            for run in ngrams(told, length):
                if run in known:
                    return _shared(known[run], run)
        return None


def _shared(name: str, run: Sequence[str]) -> str:
    text = readable(run)
    kind = "characters" if len(run) > 1 and " " not in text else "words"
    return f"shares {len(run)} {kind} with {name}: {text}"


def _problems(path: str) -> list[str]:
    suffix = PurePosixPath(path).suffix
    if suffix not in _READERS:
        raise SourceError(f"select.decontaminate: {path} is none of {', '.join(_READERS)}")
    try:
        table = _READERS[suffix](io.BytesIO(_bytes(path)))
        schema = table.collect_schema()
        column = _problem_column(schema)
        if column is None:
            raise SourceError(
                f"select.decontaminate: {path} has the columns {', '.join(schema)}, and none of "
                f"{', '.join(PROBLEM_COLUMNS)}: rename the column that holds the problems"
            )
        problems: list[str] = table.select(column).collect()[column].fill_null("").to_list()
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"select.decontaminate: {path} cannot be read: {error}") from error
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
