"""Megabytes of reasoning per second on one core: every stage that asks no model, and all of them together.

Seconds are those that the process has used of its cores, threads included, so that other work on the
machine counts for little.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from itertools import count as count_up
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import BuildConfig, PartitionConfig, ScoreConfig, SourceConfig, SplitConfig
from pipeline.ingest import ingest
from pipeline.pieces import block_texts, cut
from pipeline.records.records import records_shard
from pipeline.segmentation.cues import score_boundaries
from pipeline.segmentation.cutting import partition_shard
from pipeline.segmentation.scoring import score_shard
from pipeline.segmentation.sentences import split
from pipeline.segmentation.splitting import split_shard
from pipeline.segmentation.tokens import TokenCounter, token_counter
from pipeline.store import RunFolder
from schemas.tables import MEMENTOS

ROOT = Path(__file__).parents[1]
# Real traces where they lie beside the project, else those that come with it.
SOURCES = (ROOT / "../shared/data/real-traces.parquet", ROOT / "data/sample/traces.jsonl")
REPEATS = 5


def run() -> dict[str, float]:
    """MB/s of each step, best of five after a warm-up; times as multiples of counting tokens alone."""
    source = next(path for path in SOURCES if path.exists())
    build = BuildConfig(name="bench", source=SourceConfig(paths=(str(source),)), traces_per_shard=10**6)
    with tempfile.TemporaryDirectory() as folder:
        runs = (RunFolder(Path(folder, str(number))) for number in count_up())
        ingesting = _seconds(lambda: ingest(build, next(runs), lambda read, total: None))
        traces = RunFolder(Path(folder, "0")).read("ingest", 0)
    texts = traces.column("reasoning").to_pylist()
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    split_ends = [split(text) for text in texts]
    sentences = [cut(text, ends) for text, ends in zip(texts, split_ends, strict=True)]
    count = token_counter(SplitConfig().tokenizer)
    parts = {
        "token counts alone": _seconds(lambda: [count([text]) for text in texts]),
        "token counts by sentence": _seconds(lambda: [count(pieces) for pieces in sentences]),
        "split": _seconds(lambda: [split(text) for text in texts]),
        "rules": _seconds(
            lambda: [score_boundaries(text, ends) for text, ends in zip(texts, split_ends, strict=True)]
        ),
    }
    stages = {"ingest": ingesting, **_stages(traces, count)}
    counting = parts["token counts alone"]
    total = sum(stages.values())
    figures = {f"traces of {source.name}": float(len(texts)), "MB of reasoning": megabytes}
    figures |= {f"{name}, MB/s": megabytes / seconds for name, seconds in parts.items()}
    figures |= {f"stage {name}, MB/s": megabytes / seconds for name, seconds in stages.items()}
    figures |= {f"stage {name}, times counting alone": seconds / counting for name, seconds in stages.items()}
    return figures | {
        "stage split, share of counting": parts["token counts by sentence"] / stages["split"],
        "all stages without a model, MB/s": megabytes / total,
        "all stages without a model, times counting alone": total / counting,
    }


def _stages(traces: pa.Table, count: TokenCounter) -> dict[str, float]:
    """Seconds of the stages behind ingest, from table to table."""
    rows = split_shard(traces, SplitConfig()).done
    cues = ScoreConfig(detector="cues")
    scored = _scored(rows, cues)
    blocks = partition_shard(scored, PartitionConfig()).done
    mementos = [_mementos(row, count) for row in blocks.to_pylist()]
    written = blocks.append_column(MEMENTOS.field(0), pa.array(mementos, MEMENTOS.field(0).type))
    return {
        "split": _seconds(lambda: split_shard(traces, SplitConfig())),
        "score by rules": _seconds(lambda: _scored(rows, cues)),
        "partition": _seconds(lambda: partition_shard(scored, PartitionConfig())),
        "records": _seconds(lambda: records_shard(written)),
    }


def _scored(rows: pa.Table, config: ScoreConfig) -> pa.Table:
    return asyncio.run(score_shard(rows, config, None, lambda: None)).done


def _mementos(row: dict[str, Any], count: TokenCounter) -> list[dict[str, Any]]:
    """A memento per block of a sixth of its characters."""
    blocks = block_texts(row["reasoning"], row["sentence_ends"], row["block_ends"])
    texts = [block.strip()[: len(block) // 6] or "-" for block in blocks]
    return [
        {"text": text, "tokens": tokens, "score": 8, "best_round": 0, "rounds": [{"checks": []}]}
        for text, tokens in zip(texts, count(texts), strict=True)
    ]


def _seconds(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


if __name__ == "__main__":
    for what, value in run().items():
        print(f"{value:10.2f}  {what}")
