"""What a trace costs: requests, prompt tokens, those computed, tokens generated; ours and the authors'.

Both schemes ask the stub server over HTTP, which counts tokens by cl100k_base and keeps 16-token blocks of
every prompt as vLLM's prefix cache does. That cache forgets nothing; for "ours, cold" it loses all between
scoring and writing mementos, as where the traces of a shard are more than an engine's memory holds.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.authors_scheme import Cut, run_scheme
from benchmarks.economy_replies import Replies
from benchmarks.text import SOURCES
from pipeline.config import BuildConfig, LlmConfig, SourceConfig
from pipeline.ingest import ingest
from pipeline.llm.asking import Asking
from pipeline.llm.client import Client
from pipeline.llm.model import Usage
from pipeline.llm.slots import Slots
from pipeline.llm.templates import load_prompts
from pipeline.mementos.writing import write_mementos_shard
from pipeline.pieces import block_texts, cut
from pipeline.segmentation.cutting import partition_shard
from pipeline.segmentation.scoring import score_shard
from pipeline.segmentation.splitting import split_shard
from pipeline.store import RunFolder
from tests.servers.stub_llm import StubLlm, Totals

TRACES = 12
# Of the 12 traces that the authors' own code was measured on; those taken here come nearest to it.
MEAN_TOKENS = 10_025
# Their merging leaves 187 sentences in a trace of 10,900 tokens, ours more (design section 2).
AUTHORS_SENTENCE_TOKENS = 58


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
    rows = _traces(build)
    warm, blocks, shares = _ours(build, rows, cold=False)
    cold, _, _ = _ours(build, rows, cold=True)
    cuts = [_cut(row) for row in blocks.to_pylist()]
    with StubLlm(counter="cl100k_base", record=False, answer=lambda body: body.get("reply")) as stub:
        run_scheme(cuts, stub.endpoint)
        authors = Cost.of(stub.totals)
    ours, ours_cold = Cost.of(*warm.values()), Cost.of(*cold.values())
    figures: dict[str, float] = {
        f"traces of {Path(build.source.paths[0]).name}": len(cuts),
        "tokens per trace": sum(sum(c.block_tokens) for c in cuts) / len(cuts),
        "sentences per trace": sum(len(c.sentences) for c in cuts) / len(cuts),
        "blocks per trace": sum(len(c.blocks) for c in cuts) / len(cuts),
        **shares,
    }
    figures |= ANCHOR.figures("authors' code as measured", 1) | authors.figures("authors' scheme", len(cuts))
    figures |= ours.figures("ours", len(cuts)) | ours_cold.figures("ours, cold", len(cuts))
    for purpose, usage in warm.items():
        figures |= Cost.of(usage).figures(f"ours, {purpose}", len(cuts))
    figures["computed, ours of the authors'"] = ours.computed / authors.computed
    figures["computed, ours cold of the authors'"] = ours_cold.computed / authors.computed
    figures["generated, ours of the authors'"] = ours.generated / authors.generated
    return figures


def _build() -> BuildConfig:
    source = next(path for path in SOURCES if path.exists())
    return BuildConfig(name="bench", source=SourceConfig(paths=(str(source),)), traces_per_shard=10**6)


def _traces(build: BuildConfig) -> pa.Table:
    """Split traces: 12 that follow each other in order of length, with a mean nearest to MEAN_TOKENS."""
    with tempfile.TemporaryDirectory() as folder:
        store = RunFolder(Path(folder))
        ingest(build, store, lambda read, total: None)
        rows = split_shard(store.read("ingest", 0), build.split).done
    sizes = [sum(tokens) for tokens in rows.column("sentence_tokens").to_pylist()]
    order = sorted(range(len(sizes)), key=lambda n: sizes[n])
    runs = [order[first : first + TRACES] for first in range(max(1, len(order) - TRACES + 1))]
    return rows.take(min(runs, key=lambda run: abs(sum(sizes[n] for n in run) / len(run) - MEAN_TOKENS)))


def _ours(
    build: BuildConfig, rows: pa.Table, *, cold: bool
) -> tuple[dict[str, Usage], pa.Table, dict[str, float]]:
    """Usage by purpose of our stages; the blocks; shares of mementos that passed."""
    replies = Replies()
    with ExitStack() as servers:
        stubs = [
            servers.enter_context(StubLlm(counter="cl100k_base", record=False, answer=replies.answer))
            for _ in range(2 if cold else 1)
        ]
        return asyncio.run(_stages(build, rows, [stub.endpoint for stub in stubs], replies))


async def _stages(
    build: BuildConfig, rows: pa.Table, endpoints: Sequence[str], replies: Replies
) -> tuple[dict[str, Usage], pa.Table, dict[str, float]]:
    async with Client(build.llm, endpoints[:1], "stub", None) as client:
        scored = await score_shard(rows, build.score, _asking(client, build.llm), lambda: None)
        usage = client.usage
    blocks = partition_shard(scored.done, build.partition).done
    cuts = [_cut(row) for row in blocks.to_pylist()]
    replies.blocks = [pair for c in cuts for pair in zip(c.blocks, c.block_tokens, strict=True)]
    async with Client(build.llm, endpoints[-1:], "stub", None) as client:
        written = await write_mementos_shard(
            blocks, build.mementos, build.split.tokenizer, _asking(client, build.llm), lambda: None
        )
        usage |= client.usage
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
    return usage, blocks, shares


def _asking(client: Client, config: LlmConfig) -> Asking:
    return Asking(client, load_prompts(), None, config.seed, Slots(config.max_in_flight))


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
