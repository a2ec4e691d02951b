"""What a build will take, before any model is asked: requests, tokens, hours, money."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from pipeline.config import BuildConfig
from pipeline.ingest import ingest
from pipeline.llm.bundled_model import CONTEXT_TOKENS
from pipeline.llm.serving import BUNDLED
from pipeline.llm.templates import load_prompts
from pipeline.plan.prompt_sizes import Load, PromptSizes
from pipeline.run.repair import repair
from pipeline.run.store import RunFolder
from pipeline.segmentation.partition.stage import best_blocks
from pipeline.segmentation.partition.warm_up import warm_up
from pipeline.segmentation.score.cues import score_boundaries
from pipeline.segmentation.score.prefill import MOST_READ_TOKENS
from pipeline.segmentation.score.stage import asked_boundaries
from pipeline.segmentation.split.stage import SPLIT
from pipeline.stages.registry import INGEST
from pipeline.stages.run_shard import run_stages
from pipeline.text.tokens import token_counter

Basis = Literal["exact", "estimated"]
Progress = Callable[[str, int, int], None]
PURPOSES = ("score", "compress", "judge", "refine")


@dataclass
class Plan:
    """What a build comes to. Counts up to `boundaries_asked` are exact.

    blocks: cut by the rules' scores, so exact only where the detector is "cues". loads: by purpose; requests
    and prompts of "score" are exact but for tokenizers, all else is estimated (prompt_sizes.py names the
    sources). Answers that must be asked for again are not counted.
    """

    name: str
    folder: str
    detector: str
    traces_in: int = 0
    traces_chosen: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    reasoning_tokens: int = 0
    sentences: int = 0
    boundaries: int = 0
    boundaries_asked: int = 0
    blocks: int = 0
    loads: dict[str, Load] = field(default_factory=lambda: {purpose: Load() for purpose in PURPOSES})
    warnings: list[str] = field(default_factory=list)

    @property
    def load(self) -> Load:
        """All purposes together."""
        return sum(self.loads.values(), Load())

    @property
    def blocks_basis(self) -> Basis:
        return "exact" if self.detector == "cues" else "estimated"

    def hours(self, prompt_speed: float, generation_speed: float) -> float:
        """Hours of work for an engine. Speeds in tokens per second, of all endpoints together.

        Prompt tokens that the prefix cache has take no time; prompts and answers share the engine's time.
        """
        load = self.load
        return (load.computed_tokens / prompt_speed + load.generated_tokens / generation_speed) / 3600

    def cost(self, prompt_price: float, completion_price: float) -> float:
        """Price of all tokens, cached ones included. Prices per million tokens."""
        load = self.load
        return (load.prompt_tokens * prompt_price + load.generated_tokens * completion_price) / 1e6


def make_plan(build: BuildConfig, run: RunFolder, on_progress: Progress) -> Plan:
    """The plan of a build; its traces are read and split into the run folder, where the build finds them.

    on_progress(step, done, in total; 0 where unknown). One shard at a time is in memory.
    Raises SourceError, StoreError, CompileError.
    """
    plan = Plan(name=build.name, folder=str(run.root), detector=build.score.detector)
    sizes = PromptSizes(build, load_prompts(), token_counter(build.split.tokenizer), known_window(build))
    with run.lock():
        repair(run, [INGEST, SPLIT.name], lambda step: on_progress(step, 0, 0))
        shards = ingest(build, run, lambda done, total: on_progress("read traces", done, total))
        for shard in range(shards):
            ingested = run.read_manifest(INGEST, shard)
            assert ingested is not None
            plan.traces_in += ingested.rows_in
            plan.traces_chosen += ingested.rows_out
            plan.rejected.update(ingested.rejected)
        warm_up(lambda step: on_progress(step, 0, 0))
        done, total = 0, plan.traces_chosen
        for shard in range(shards):
            (manifest,) = run_stages([SPLIT.name], shard, run, build, None)
            plan.rejected.update(manifest.rejected)
            plan.traces_chosen -= sum(manifest.rejected.values())
            _add(plan, run.read(SPLIT.name, shard), build, sizes)
            done += manifest.rows_in
            on_progress("split and count", done, total)
    if build.score.form == "prefill" and build.score.detector != "cues":
        warning = _prefill_is_unwise(
            bundled=build.llm.model == BUNDLED,
            prompt_tokens=plan.loads["score"].prompt_tokens,
            traces=plan.traces_chosen,
        )
        plan.warnings += [warning] if warning else []
    return plan


def _prefill_is_unwise(*, bundled: bool, prompt_tokens: float, traces: int) -> str | None:
    """Why prompts that are only read are the wrong form for a build; None where they are not.

    bundled: whether the bundled model reads them; prompt_tokens: of all of them. They are for models too
    small to follow a question, on short traces.
    """
    if not traces or (bundled and prompt_tokens <= traces * MOST_READ_TOKENS):
        return None
    megabytes = prompt_tokens * _BYTES_PER_READ_TOKEN / traces / 1e6
    return (
        f"score.form prefill takes replies of {megabytes:.1f} MB a trace, which keep vLLM's API server from "
        "other requests; a model that follows questions is asked by score.form window"
    )


# See `segmentation/score/prefill.py`.
_BYTES_PER_READ_TOKEN = 360


def known_window(build: BuildConfig) -> int | None:
    """Tokens that the model can see, where that is known without asking an endpoint."""
    bundled = build.llm.model == BUNDLED and not build.llm.endpoints
    return build.llm.context_window or (CONTEXT_TOKENS if bundled else None)


_COLUMNS = ["trace_id", "origin", "problem", "reasoning", "sentence_ends", "sentence_tokens"]


def _add(plan: Plan, rows: pa.Table, build: BuildConfig, sizes: PromptSizes) -> None:
    for trace in rows.select(_COLUMNS).to_pylist():
        cues = score_boundaries(trace["reasoning"], trace["sentence_ends"])
        asked = asked_boundaries(cues, build.score)
        plan.sentences += len(trace["sentence_ends"])
        plan.reasoning_tokens += sum(trace["sentence_tokens"])
        plan.boundaries += len(cues.scores)
        plan.boundaries_asked += len(asked)
        plan.loads["score"] += sizes.score(trace, asked)
        cut = best_blocks(cues.scores, trace["sentence_tokens"], build.partition)
        plan.blocks += len(cut.block_ends)
        for purpose, load in sizes.mementos(trace, cut.block_ends, cut.block_tokens).items():
            plan.loads[purpose] += load
