"""Megabytes of reasoning per second on one core: ingest, token counting alone, splitting, both, the rules."""

import tempfile
import time
from collections.abc import Callable
from itertools import count as count_up
from pathlib import Path

from pipeline.config import BuildConfig, SourceConfig, SplitConfig
from pipeline.ingest import ingest
from pipeline.pieces import cut
from pipeline.segmentation.cues import score_boundaries
from pipeline.segmentation.sentences import split
from pipeline.segmentation.splitting import split_shard
from pipeline.segmentation.tokens import token_counter
from pipeline.store import RunFolder

ROOT = Path(__file__).parents[1]
# Real traces where they lie beside the project, else those that come with it.
SOURCES = (ROOT / "../shared/data/real-traces.parquet", ROOT / "data/sample/traces.jsonl")
REPEATS = 3


def run() -> dict[str, float]:
    """MB/s of each step, best of three after a warm-up, and what counting tokens takes of the split."""
    source = next(path for path in SOURCES if path.exists())
    build = BuildConfig(name="bench", source=SourceConfig(paths=(str(source),)), traces_per_shard=10**6)
    with tempfile.TemporaryDirectory() as folder:
        runs = (RunFolder(Path(folder, str(number))) for number in count_up())
        ingesting = _seconds(lambda: ingest(build, next(runs), lambda read, total: None))
        traces = RunFolder(Path(folder, "0")).read("ingest", 0)
    texts = traces.column("reasoning").to_pylist()
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    sentences = [cut(text, split(text)) for text in texts]
    count = token_counter(SplitConfig().tokenizer)
    counting = _seconds(lambda: [count([text]) for text in texts])
    counting_sentences = _seconds(lambda: [count(pieces) for pieces in sentences])
    splitting = _seconds(lambda: [split(text) for text in texts])
    both = _seconds(lambda: split_shard(traces, SplitConfig()))
    rules = _seconds(lambda: [score_boundaries(pieces) for pieces in sentences])
    return {
        f"traces of {source.name}": len(texts),
        "MB of reasoning": megabytes,
        "ingest, MB/s": megabytes / ingesting,
        "token counts alone, MB/s": megabytes / counting,
        "split, MB/s": megabytes / splitting,
        "split with token counts, MB/s": megabytes / both,
        "split with token counts, times counting alone": both / counting,
        "split with token counts, share of counting": counting_sentences / both,
        "rules, MB/s": megabytes / rules,
    }


def _seconds(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
