"""One model's responses in one mode: what is missing is written, each kept as it comes, then judged."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from pipeline.evaluate.config import EvaluateConfig, SamplingConfig
from pipeline.evaluate.generations import SCHEMA, Kept, Key, Part, question_of
from pipeline.evaluate.judgements import Judgements, has_failed
from pipeline.evaluate.local_model import LocalModel, Written
from pipeline.evaluate.modes import Mode
from pipeline.evaluate.problems import Problem
from pipeline.evaluate.responses import parts_of
from pipeline.files.atomic import value_digest

_SECONDS_BETWEEN_LINES = 10.0
_SHOWN_FAILURES = 3
# Columns of the report's table that a response has from the beginning.
_AS_KEPT = [
    name for name in SCHEMA.names if name in Kept.__dataclass_fields__ and name not in ("problem", "fault")
]


@dataclass(frozen=True)
class Failed:
    """A request that got no response, and why; it is asked again the next time."""

    why: str


# Each with the number of its prompt.
Came = tuple[int, Written | Failed]


class Writer(Protocol):
    """Who writes responses: a model here, or one behind an endpoint.

    sees_cache: whether it tells what its KV cache held.
    """

    @property
    def sees_cache(self) -> bool: ...

    @property
    def digest(self) -> str:
        """Of what says which model it is."""

    def modes(self, wanted: Sequence[Mode]) -> tuple[list[Mode], str]:
        """Of these modes those that it can be asked in, and why not in the others."""

    def resolved(self, sampling: SamplingConfig) -> SamplingConfig:
        """The sampling that is used where this is told; None stays where a server alone knows."""

    def stream(
        self, prompts: Sequence[str], seeds: Sequence[int], mode: Mode, sampling: SamplingConfig
    ) -> Iterator[list[Came]]:
        """What comes, as it comes; at least every ten seconds, perhaps with nothing, where it can."""


class InBatches:
    """A model here as a writer: so many responses at once."""

    sees_cache = True

    def __init__(self, model: LocalModel, batch: int) -> None:
        self._model = model
        self._batch = batch

    @property
    def digest(self) -> str:
        return self._model.digest

    def modes(self, wanted: Sequence[Mode]) -> tuple[list[Mode], str]:
        return self._model.modes(wanted)

    def resolved(self, sampling: SamplingConfig) -> SamplingConfig:
        return self._model.resolved(sampling)

    def stream(
        self, prompts: Sequence[str], seeds: Sequence[int], mode: Mode, sampling: SamplingConfig
    ) -> Iterator[list[Came]]:
        for start in range(0, len(prompts), self._batch):
            end = start + self._batch
            written = self._model.write(prompts[start:end], seeds[start:end], mode, sampling)
            yield list(enumerate(written, start))


@dataclass
class Asked:
    """Problems of one task, asked in one mode: where responses and judgements are kept, and what is missing.

    missing: how many responses are not there, by why.
    """

    task: str
    problems: Sequence[Problem]
    samples: int
    part: Part
    judgements: Judgements
    missing: Counter[str] = field(default_factory=Counter)

    @property
    def wanted(self) -> list[tuple[Problem, Key]]:
        """Each response that there should be, in the order of the problems."""
        return [
            (problem, (question_of(problem), sample))
            for problem in self.problems
            for sample in range(self.samples)
        ]


def answer(
    asked: Sequence[Asked],
    name: str,
    writer: Writer | None,
    mode: Mode,
    config: EvaluateConfig,
    tell: Callable[[str], None],
) -> None:
    """Brings all that is asked to its end: responses that are missing are written, all are judged.

    Each response is kept before anybody judges it. writer: None judges what is there. name: in lines that
    tell how far it is.
    """
    there, missing = [], []
    for each in asked:
        for problem, key in each.wanted:
            kept = each.part.get(key)
            if kept is not None and (writer is None or not kept.fault):
                there.append((each, kept, problem))
            else:
                missing.append((each, key[1], problem))
    wanted = len(there) + len(missing)
    if there:
        tell(f"{name}: {len(there):,} of {wanted:,} responses were there")
    progress = _Progress(name, asked, len(there), wanted, tell)
    for each, kept, problem in there:
        each.judgements.judge(kept, problem)
        progress.look()
    if writer is None:
        for each, _, _ in missing:
            each.missing["never asked"] += 1
    elif missing:
        _ask(missing, writer, mode, config, progress)
    for each in asked:
        each.judgements.finish(progress.look)
    progress.end()


def _ask(
    missing: Sequence[tuple[Asked, int, Problem]],
    writer: Writer,
    mode: Mode,
    config: EvaluateConfig,
    progress: "_Progress",
) -> None:
    seed = config.sampling.seed
    seeds = [_seed(seed, each.task, problem.id, sample) for each, sample, problem in missing]
    prompts = [problem.prompt for _, _, problem in missing]
    sampling = writer.resolved(config.sampling)
    before = time.monotonic()
    for came in writer.stream(prompts, seeds, mode, sampling):
        now = time.monotonic()
        tokens = max(1, sum(len(each.response.ids) for _, each in came if isinstance(each, Written)))
        for number, written in came:
            each, sample, problem = missing[number]
            if isinstance(written, Failed):
                each.missing[written.why] += 1
                progress.failed(f"{problem.id}: {written.why}")
                continue
            seconds = (now - before) * len(written.response.ids) / tokens
            kept = _kept(problem, sample, seeds[number], written, seconds, sees_cache=writer.sees_cache)
            known = each.part.get(kept.key)
            # What could not be written the last time, for the same reason, stands there already.
            if known is None or not kept.fault or known.fault != kept.fault:
                each.part.add(kept)
            progress.came(kept)
            each.judgements.judge(kept, problem)
        if came:
            before = now
        progress.look()


def _seed(seed: int, task: str, problem: str, sample: int) -> int:
    """Of one response, whatever else is asked beside it. The mode is left out: all see the same chances."""
    return int(value_digest([seed, task, problem, sample])[:12], 16)


def _kept(
    problem: Problem, sample: int, seed: int, written: Written, seconds: float, *, sees_cache: bool
) -> Kept:
    response = written.response
    return Kept(
        problem=problem.id,
        question=question_of(problem),
        sample=sample,
        seed=seed,
        response=written.text,
        fault=written.fault,
        is_ended=response.is_ended,
        unknown_end=written.unknown_end,
        deviations=[*map(str, written.deviations)],
        prompt_tokens=written.prompt_tokens,
        tokens=len(response.ids),
        # A response that ends at once has held its prompt.
        peak_tokens=max(response.held, default=written.prompt_tokens) if sees_cache else None,
        area_tokens=sum(response.held) if sees_cache else None,
        held=response.held,
        forced_ends=response.forced_ends,
        recomputed_tokens=response.recomputed,
        seconds=seconds,
    )


def table_of(asked: Asked, label: str, mode: Mode) -> pa.Table:
    """All responses that are there with what they were judged (generations.SCHEMA), problem by problem."""
    rows = [
        _row(problem, kept, asked.judgements) | {"model": label, "task": asked.task, "mode": str(mode)}
        for problem, key in asked.wanted
        # Responses to problems that are not asked this time stay where they are.
        if (kept := asked.part.get(key)) is not None
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def _row(problem: Problem, kept: Kept, judgements: Judgements) -> dict[str, Any]:
    parts = parts_of(kept.response, is_ended=kept.is_ended)
    judgement = judgements.found[kept.key]
    return {
        "problem": problem.id,
        "problem_digest": problem.digest,
        "kind": problem.kind,
        "group": problem.group,
        "prompt": problem.prompt,
        "expected": problem.expected,
        "answer": parts.answer,
        "said": judgement.said,
        "fault": judgement.fault,
        "form_fault": kept.fault or parts.fault,
        **{name: getattr(kept, name) for name in _AS_KEPT},
    }


class _Progress:
    """Tells a line every ten seconds, and at the end, where there was something to do."""

    def __init__(
        self,
        name: str,
        asked: Sequence[Asked],
        there: int,
        wanted: int,
        tell: Callable[[str], None],
    ) -> None:
        self._name, self._asked, self._tell = name, asked, tell
        self._there, self._wanted = there, wanted
        self._new = self._tokens = self._failures = 0
        self._began = time.monotonic()
        self._next = self._began + _SECONDS_BETWEEN_LINES

    def came(self, kept: Kept) -> None:
        """A response came."""
        self._new += 1
        self._tokens += kept.tokens

    def failed(self, line: str) -> None:
        """A request failed for good; the first ones are told in full."""
        self._failures += 1
        if self._failures <= _SHOWN_FAILURES:
            self._tell(f"{self._name}: no response to {line}")

    def look(self) -> None:
        """Tells how far it is, if it is time."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SECONDS_BETWEEN_LINES
            self._line()

    def end(self) -> None:
        """Tells what came, and what did not."""
        if self._new or any(each.judgements.new for each in self._asked):
            self._line()
        if missing := sum(each.missing.total() for each in self._asked):
            self._tell(
                f"{self._name}: {missing:,} of {self._wanted:,} responses are missing; "
                "run the same command to ask again"
            )

    def _line(self) -> None:
        judged = [judgement for each in self._asked for judgement in each.judgements.found.values()]
        right = sum(judgement.is_right for judgement in judged)
        unjudged = sum(has_failed(judgement.fault) for judgement in judged)
        parts = [
            f"{self._there + self._new:,} of {self._wanted:,} responses",
            f"{len(judged) - unjudged:,} judged",
        ]
        if judged:
            parts.append(f"{right / len(judged):.0%} right")
        if unjudged:
            parts.append(f"{unjudged:,} times the judge failed")
        if self._failures:
            parts.append(f"{self._failures:,} requests failed")
        if self._new:
            seconds = time.monotonic() - self._began
            left = self._wanted - self._there - self._new - self._failures
            parts.append(f"{self._tokens / max(seconds, 1e-9):,.0f} tokens/s")
            parts.append(f"{left * seconds / self._new:,.0f} s left")
        self._tell(f"{self._name}: {', '.join(parts)}")
