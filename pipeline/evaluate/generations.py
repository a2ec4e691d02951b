"""All responses of an evaluation, on disk: each kept as it comes, none twice."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from pipeline.evaluate.config import SamplingConfig
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.modes import Mode
from pipeline.evaluate.problems import Problem
from pipeline.files.atomic import value_digest, writing
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.files.sealed_lines import SealedLines

_FOLDER = "generations"
# Digest of what is asked, and which of several responses to it.
Key = tuple[str, int]

# The report's table: responses with what they were judged.
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
        # How an endpoint says that it ended, where that is no word that is known; it counts as an end.
        ("unknown_end", pa.string()),
        # What of the request or the reply was not as asked for (llm.deviations).
        ("deviations", pa.list_(pa.string())),
        ("prompt_tokens", pa.int32()),
        ("tokens", pa.int32()),
        # Of the KV cache, in tokens: the most, and the sum over all tokens that were written; null of an
        # endpoint, whose cache is not seen.
        ("peak_tokens", pa.int32()),
        ("area_tokens", pa.int64()),
        ("held", pa.list_(pa.int32())),
        ("forced_ends", pa.int32()),
        ("recomputed_tokens", pa.int64()),
        # Its share of the time in which all were written: they add up.
        ("seconds", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Kept:
    """A response as it came. question: digest of what was asked; held: as in attention.generate.Response.

    fault: why there is none, "" where there is one; such a problem is asked again. unknown_end,
    deviations: as in local_model.Written.
    """

    problem: str
    question: str
    sample: int
    seed: int
    response: str
    fault: str
    is_ended: bool
    prompt_tokens: int
    tokens: int
    peak_tokens: int | None
    area_tokens: int | None
    held: Any
    forced_ends: int
    recomputed_tokens: int
    seconds: float
    # Lines of earlier versions have none.
    unknown_end: str = ""
    deviations: Sequence[str] = ()

    @property
    def key(self) -> Key:
        return self.question, self.sample


def question_of(problem: Problem) -> str:
    """Digest of what a problem asks, whatever a right answer is: one that is corrected asks nothing anew."""
    return value_digest([problem.id, problem.prompt])[:16]


@dataclass(frozen=True)
class Asking:
    """All that the responses of a part depend on but the problem: other settings are another part.

    version: of the code that asks; place: as the config names the model, without its label; writer: digest
    of what says which model it is; told: the config's sampling; sampling: the one that is used (None: the
    server's own).
    """

    version: int
    place: str
    writer: str
    task: str
    mode: Mode
    told: SamplingConfig
    sampling: SamplingConfig

    @cached_property
    def digest(self) -> str:
        """What the part's files are called by. How the model was named, and more samples, change nothing."""
        used = self.sampling.model_dump(mode="json", exclude={"samples"})
        return value_digest([self.version, self.writer, self.task, str(self.mode), used])[:16]

    def is_told(self, place: str, task: str, told: SamplingConfig) -> bool:
        """Whether a config that names this asks for it, more or fewer samples of it, too."""
        without = told.model_copy(update={"samples": self.told.samples})
        return (self.place, self.task, self.told) == (place, task, without)


def kept_askings(run: Path) -> list[Asking]:
    """What was asked in a run's folder so far, in the order in which it was first asked."""
    files = sorted((run / _FOLDER).glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [_asking(read_sealed(path)) for path in files]


def _asking(told: Mapping[str, Any]) -> Asking:
    return Asking(
        version=told["version"],
        place=told["place"],
        writer=told["writer"],
        task=told["task"],
        mode=Mode(told["mode"]),
        told=SamplingConfig.model_validate(told["told"]),
        sampling=SamplingConfig.model_validate(told["sampling"]),
    )


def refuse_older_responses(run: Path) -> None:
    """Raises EvaluateError where a folder has responses that were judged before they were kept."""
    if next((run / _FOLDER).glob("*/*.parquet"), None):
        raise EvaluateError(
            f"{run / _FOLDER}: has responses of an earlier version, which kept them as judged then; "
            "name another folder with --run-dir, or remove this one to ask again"
        )


class Part:
    """The responses of one model to one task in one mode, in a file that grows; used as a context.

    By key, the latest of each. Raises WriteError where the disk does not take them.
    """

    def __init__(self, run: Path, asking: Asking) -> None:
        self.asking = asking
        self._head = run / _FOLDER / f"{asking.digest}.json"
        self._path = self._head.with_suffix(".jsonl")
        self._rows: dict[Key, Kept] = {}

    def __enter__(self) -> Self:
        with writing(self._path):
            self._lines = SealedLines(self._path, self._take, lost="these problems are asked again")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.close()

    def __iter__(self) -> Iterator[Kept]:
        yield from self._rows.values()

    def get(self, key: Key) -> Kept | None:
        """The response under a key, where there is one."""
        return self._rows.get(key)

    def add(self, kept: Kept) -> None:
        """Keeps a response: it is there after a `kill -9`."""
        if not self._head.exists():
            told = {**asdict(self.asking), "mode": str(self.asking.mode)}
            for name in ("told", "sampling"):
                told[name] = getattr(self.asking, name).model_dump(mode="json")
            write_sealed(told, self._head)
        with writing(self._path):
            self._lines.append({**vars(kept), "held": [*map(int, kept.held)]})
        self._rows[kept.key] = kept

    def _take(self, fields: dict[str, Any]) -> None:
        # 4 bytes a number instead of 36: a response may have 32,768 of them.
        kept = Kept(**{**fields, "held": np.array(fields["held"], np.int32)})
        self._rows[kept.key] = kept
