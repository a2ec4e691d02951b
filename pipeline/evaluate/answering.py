"""One model's responses to one task in one mode: those that are missing are written, judged and kept."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from pipeline.evaluate.config import EvaluateConfig, SamplingConfig
from pipeline.evaluate.generations import Part
from pipeline.evaluate.judging import Judges
from pipeline.evaluate.local_model import Written
from pipeline.evaluate.modes import Mode
from pipeline.evaluate.problems import Problem
from pipeline.evaluate.responses import parts_of
from pipeline.files.atomic import value_digest

T = TypeVar("T")
_SECONDS_BETWEEN_LINES = 10.0


class Writer(Protocol):
    """Who writes responses: a model here, or one behind an endpoint.

    sees_cache: whether it tells what its KV cache held.
    """

    @property
    def sees_cache(self) -> bool: ...

    @property
    def digest(self) -> str:
        """Of all that its responses depend on."""

    def modes(self, wanted: Sequence[Mode]) -> tuple[list[Mode], str]:
        """Of these modes those that it can be asked in, and why not in the others."""

    def write(
        self, prompts: Sequence[str], seeds: Sequence[int], mode: Mode, sampling: SamplingConfig
    ) -> list[Written]:
        """A response to each prompt."""


def answer(
    part: Part,
    label: str,
    writer: Writer,
    task: str,
    problems: Sequence[Problem],
    mode: Mode,
    config: EvaluateConfig,
    judges: Judges,
    tell: Callable[[str], None],
) -> pa.Table:
    """All responses, those that were there before, too, in the order of the problems."""
    wanted = [(problem, sample) for problem in problems for sample in range(config.sampling.samples)]
    done = set(part.done())
    missing = [(problem, sample) for problem, sample in wanted if (problem.digest, sample) not in done]
    name = f"{label}, {task}, {mode}"
    if done:
        tell(f"{name}: {len(wanted) - len(missing):,} of {len(wanted):,} responses were there")
    progress = _Progress(name, len(missing), tell)
    for batch in _batches(missing, config.batch):
        seeds = [_seed(config.sampling.seed, task, problem.id, sample) for problem, sample in batch]
        began = time.monotonic()
        written = writer.write([problem.prompt for problem, _ in batch], seeds, mode, config.sampling)
        seconds = time.monotonic() - began
        rows = _rows(batch, seeds, written, seconds, judges, sees_cache=writer.sees_cache)
        part.add([{"model": label, "task": task, "mode": str(mode), **row} for row in rows])
        progress.add(rows, seconds)
    there = {key: at for at, key in enumerate(part.done())}
    # Responses to problems that are not asked this time stay where they are.
    return part.read().take([there[problem.digest, sample] for problem, sample in wanted])


def _seed(seed: int, task: str, problem: str, sample: int) -> int:
    """Of one response, whatever else is asked beside it. The mode is left out: all see the same chances."""
    return int(value_digest([seed, task, problem, sample])[:12], 16)


def _rows(
    batch: Sequence[tuple[Problem, int]],
    seeds: Sequence[int],
    written: Sequence[Written],
    seconds: float,
    judges: Judges,
    *,
    sees_cache: bool,
) -> list[dict[str, Any]]:
    parts = [parts_of(each.text, is_ended=each.response.is_ended) for each in written]
    judged = judges.judge([(problem, part.answer) for (problem, _), part in zip(batch, parts, strict=True)])
    tokens = max(1, sum(len(each.response.ids) for each in written))
    rows = []
    for (problem, sample), seed, each, part, verdict in zip(
        batch, seeds, written, parts, judged, strict=True
    ):
        response = each.response
        rows.append(
            {
                "problem": problem.id,
                "problem_digest": problem.digest,
                "kind": problem.kind,
                "sample": sample,
                "seed": seed,
                "group": problem.group,
                "prompt": problem.prompt,
                "expected": problem.expected,
                "response": each.text,
                "answer": part.answer,
                "said": verdict.said,
                "fault": verdict.fault,
                "form_fault": part.fault,
                "is_ended": response.is_ended,
                "prompt_tokens": each.prompt_tokens,
                "tokens": len(response.ids),
                # A response that ends at once has held its prompt.
                "peak_tokens": max(response.held, default=each.prompt_tokens) if sees_cache else None,
                "area_tokens": sum(response.held) if sees_cache else None,
                "held": response.held,
                "forced_ends": response.forced_ends,
                "recomputed_tokens": response.recomputed,
                "seconds": seconds * len(response.ids) / tokens,
            }
        )
    return rows


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


class _Progress:
    """Tells a line every ten seconds, and at the end."""

    def __init__(self, name: str, total: int, tell: Callable[[str], None]) -> None:
        self._name, self._total, self._tell = name, total, tell
        self._done = self._tokens = self._right = 0
        self._seconds = 0.0
        self._next = time.monotonic() + _SECONDS_BETWEEN_LINES

    def add(self, rows: Sequence[dict[str, Any]], seconds: float) -> None:
        self._done += len(rows)
        self._tokens += sum(row["tokens"] for row in rows)
        self._right += sum(not row["fault"] for row in rows)
        self._seconds += seconds
        if self._done < self._total and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SECONDS_BETWEEN_LINES
        left = (self._total - self._done) * self._seconds / self._done
        self._tell(
            f"{self._name}: {self._done:,} of {self._total:,} responses, "
            f"{self._right / self._done:.0%} right, "
            f"{self._tokens / max(self._seconds, 1e-9):,.0f} tokens/s, {left:,.0f} s left"
        )
