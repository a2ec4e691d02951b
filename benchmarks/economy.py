"""What a trace costs: requests, prompt tokens, those computed, tokens generated; ours and the authors'.

Both schemes ask the stub server over HTTP, which counts tokens by cl100k_base and keeps 16-token blocks of
every prompt as vLLM's prefix cache does. For the comparison that cache forgets nothing. Then more traces go
through ours with caches of limited size: as a build admits them, and all at once, as without admission.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.authors_scheme import Cut, run_scheme
from benchmarks.economy_replies import Replies
from benchmarks.text import SOURCES
from pipeline.config import BuildConfig, LlmConfig, SourceConfig
from pipeline.ingest import ingest
from pipeline.llm.admission import Admission, ShardAdmission
from pipeline.llm.client import Client
from pipeline.llm.concurrency import ConcurrencyLimit
from pipeline.llm.kv_cache import kv_cache_tokens
from pipeline.llm.model import Usage
from pipeline.llm.session import LlmSession
from pipeline.llm.templates import load_prompts
from pipeline.mementos.writing import MEMENTOS
from pipeline.run.outcomes import Outcome
from pipeline.run.store import RunFolder
from pipeline.segmentation.partition.stage import PARTITION
from pipeline.segmentation.score.stage import SCORE
from pipeline.segmentation.split.stage import SPLIT
from pipeline.stages.run_traces import Step, travel
from pipeline.stages.stage import Row
from pipeline.text.pieces import block_texts, cut
from tests.servers.stub_llm import StubLlm, Totals
from tests.through_stages import through

TRACES = 12
# Of the 12 traces that the authors' own code was measured on; those taken here come nearest to it.
MEAN_TOKENS = 10_025
# Their merging leaves 187 sentences in a trace of 10,900 tokens, ours more (design section 2).
AUTHORS_SENTENCE_TOKENS = 58
# Enough of them to fill each of the caches, in tokens; what a build of full size has open at once.
MORE_TRACES = 48
CACHES = (100_000, 200_000, 400_000)
MAX_IN_FLIGHT = 256
# With none, requests would not be open at once, and would hold nothing in the cache together.
LATENCY_SECONDS = 0.02


@dataclass(frozen=True)
class Cost:
    """Of all traces together; computed: prompt tokens that the prefix cache did not have."""

    requests: int
    prompt: int
    computed: int
    generated: int

    @classmethod
    def of(cls, *totals: Totals | Usage) -> "Cost":
        prompt = sum(t.prompt_tokens for t in totals)
        return cls(
            requests=sum(t.requests for t in totals),
            prompt=prompt,
            computed=prompt - sum(t.cached_tokens for t in totals),
            generated=sum(t.completion_tokens for t in totals),
        )

    def figures(self, name: str, traces: int) -> dict[str, float]:
        """Per trace."""
        told = {
            "requests": self.requests,
            "prompt tokens": self.prompt,
            "computed prompt tokens": self.computed,
            "generated tokens": self.generated,
        }
        return {f"{name}, {what} per trace": count / traces for what, count in told.items()}


# The authors' code on them: requests, prompt tokens, computed, generated per trace (design section 9).
ANCHOR = Cost(requests=51, prompt=144_100, computed=72_400, generated=10_300)


def run() -> dict[str, float]:
    """Costs per trace of both schemes on the same traces and blocks, ours by purpose too, and the ratios."""
    build = _build()
    rows = _traces(build, TRACES)
    ours_of_all, blocks, shares = _ours(build, rows)
    cuts = [_cut(row) for row in blocks.to_pylist()]
    with StubLlm(counter="cl100k_base", record=False, answer=lambda body: body.get("reply")) as stub:
        run_scheme(cuts, stub.endpoint)
        authors = Cost.of(stub.totals)
    ours = Cost.of(*ours_of_all.values())
    figures: dict[str, float] = {
        f"traces of {Path(build.source.paths[0]).name}": len(cuts),
        "tokens per trace": sum(sum(c.block_tokens) for c in cuts) / len(cuts),
        "sentences per trace": sum(len(c.sentences) for c in cuts) / len(cuts),
        "blocks per trace": sum(len(c.blocks) for c in cuts) / len(cuts),
        **shares,
    }
    figures |= ANCHOR.figures("authors' code as measured", 1) | authors.figures("authors' scheme", len(cuts))
    figures |= ours.figures("ours", len(cuts))
    for purpose, usage in ours_of_all.items():
        figures |= Cost.of(usage).figures(f"ours, {purpose}", len(cuts))
    figures["computed, ours of the authors'"] = ours.computed / authors.computed
    figures["generated, ours of the authors'"] = ours.generated / authors.generated
    return figures | limited()


def limited() -> dict[str, float]:
    """Computed prompt tokens per trace where the engine's cache is limited, and of those where it is not."""
    build = _build()
    rows = _traces(build, MORE_TRACES)
    figures: dict[str, float] = {
        "limited caches, traces": rows.num_rows,
        "limited caches, tokens per trace": sum(map(sum, rows.column("sentence_tokens").to_pylist()))
        / rows.num_rows,
    }

    def computed(cache: int | None, *, admitted: bool) -> float:
        usage, _, _ = _ours(build, rows, cache, admitted=admitted)
        return Cost.of(*usage.values()).computed / rows.num_rows

    unlimited = computed(None, admitted=True)
    figures["computed per trace, cache without limit"] = unlimited
    for cache in CACHES:
        for name, admitted in (("", True), (", all traces at once", False)):
            tokens = computed(cache, admitted=admitted)
            figures[f"computed per trace, cache of {cache:,} tokens{name}"] = tokens
            figures[f"times that without limit, cache of {cache:,} tokens{name}"] = tokens / unlimited
    return figures


def _build() -> BuildConfig:
    source = next(path for path in SOURCES if path.exists())
    llm = LlmConfig(max_in_flight=MAX_IN_FLIGHT)
    return BuildConfig(
        name="bench", source=SourceConfig(paths=(str(source),)), llm=llm, traces_per_shard=10**6
    )


def _traces(build: BuildConfig, number: int) -> pa.Table:
    """Split traces: those that follow each other in order of length, with a mean nearest to MEAN_TOKENS."""
    with tempfile.TemporaryDirectory() as folder:
        store = RunFolder(Path(folder))
        ingest(build, store, lambda read, total: None)
        rows = through(SPLIT, store.read("ingest", 0), split=build.split).done
    sizes = [sum(tokens) for tokens in rows.column("sentence_tokens").to_pylist()]
    order = sorted(range(len(sizes)), key=lambda n: sizes[n])
    runs = [order[first : first + number] for first in range(max(1, len(order) - number + 1))]
    return rows.take(min(runs, key=lambda run: abs(sum(sizes[n] for n in run) / len(run) - MEAN_TOKENS)))


def _ours(
    build: BuildConfig, rows: pa.Table, cache: int | None = None, *, admitted: bool = True
) -> tuple[dict[str, Usage], pa.Table, dict[str, float]]:
    """Usage by purpose of our stages; the blocks; shares of mementos that passed.

    cache: tokens that the engine's cache holds. admitted: whether traces wait for room in it.
    """
    replies = Replies()
    with StubLlm(
        counter="cl100k_base",
        record=False,
        answer=replies.answer,
        cache_tokens=cache,
        latency_seconds=LATENCY_SECONDS,
    ) as stub:
        return asyncio.run(_journey(build, rows, stub.endpoint, replies, admitted=admitted))


async def _journey(
    build: BuildConfig, rows: pa.Table, endpoint: str, replies: Replies, *, admitted: bool
) -> tuple[dict[str, Usage], pa.Table, dict[str, float]]:
    held = await asyncio.to_thread(kv_cache_tokens, endpoint) if admitted else None
    room = None if held is None else int(held * build.llm.kv_cache_share)
    admission = ShardAdmission(Admission({endpoint: room}, len(rows)))
    async with Client(build.llm, [endpoint], "stub", None) as client:
        slots = ConcurrencyLimit(build.llm.max_in_flight)
        session = LlmSession(client, load_prompts(), None, build.llm.seed, slots, admission=admission)
        writing = MEMENTOS.begin(build, session)

        async def write(rank: int, row: Row, counters: Counter[str]) -> Outcome:
            texts = block_texts(row["reasoning"], row["sentence_ends"], row["block_ends"])
            with replies.knowing(texts, row["block_tokens"]):
                return await writing(rank, row, counters)

        steps = [Step(stage, stage.begin(build, session)) for stage in (SCORE, PARTITION)]
        steps.append(Step(MEMENTOS, write))
        scored, cut_rows, written = await travel(rows, steps, admission)
        usage = client.usage
    if written.done.num_rows != rows.num_rows:
        raise RuntimeError(
            f"{rows.num_rows - written.done.num_rows} of {rows.num_rows} traces got no mementos"
        )
    asked, all_of = scored.counters["boundaries_asked"], scored.counters["boundaries"]
    mementos = written.counters["mementos"]
    shares = {
        "boundaries asked about": asked / all_of,
        "mementos that passed at once": written.counters["passed_first_round"] / mementos,
        "mementos that passed": written.counters["passed"] / mementos,
    }
    return usage, cut_rows.done, shares


def _cut(row: dict[str, Any]) -> Cut:
    return Cut(
        problem=row["problem"],
        sentences=_as_the_authors_merge(cut(row["reasoning"], row["sentence_ends"]), row["sentence_tokens"]),
        blocks=block_texts(row["reasoning"], row["sentence_ends"], row["block_ends"]),
        block_tokens=row["block_tokens"],
    )


def _as_the_authors_merge(sentences: Sequence[str], tokens: Sequence[int]) -> list[str]:
    """Neighbouring sentences joined until they are as long as the authors', whose windows count them."""
    merged, seen = [""], 0
    for sentence, size in zip(sentences, tokens, strict=True):
        if seen >= len(merged) * AUTHORS_SENTENCE_TOKENS:
            merged.append("")
        merged[-1] += sentence
        seen += size
    return merged
