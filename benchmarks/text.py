"""Megabytes of reasoning per second on one core: every stage that asks no model, and all of them together.

Seconds are those that the process has used of its cores, threads included, so that other work on the
machine counts for little.
"""

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count as count_up
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import BuildConfig, ScoreConfig, SourceConfig, SplitConfig
from pipeline.ingest import ingest
from pipeline.records import RECORDS
from pipeline.run.store import RunFolder
from pipeline.segmentation.partition.stage import PARTITION
from pipeline.segmentation.score.cues import score_boundaries
from pipeline.segmentation.score.stage import SCORE
from pipeline.segmentation.split.sentences import split
from pipeline.segmentation.split.stage import SPLIT
from pipeline.text.pieces import block_texts
from pipeline.text.tokens import TokenCounter, piece_counter, token_counter
from schemas.tables import MEMENTOS
from tests.through_stages import through

ROOT = Path(__file__).parents[1]
# Real traces where they lie beside the project, else those that come with it.
SOURCES = (ROOT / "../shared/data/real-traces.parquet", ROOT / "data/sample/traces.jsonl")
ROUNDS = 7

Step = Callable[[], object]


def run() -> dict[str, float]:
    """MB/s of each step, best of seven after a warm-up; times as multiples of counting tokens alone.

    The steps take turns, so that a machine that grows slower does so for all of them.
    """
    source = next(path for path in SOURCES if path.exists())
    build = BuildConfig(name="bench", source=SourceConfig(paths=(str(source),)), traces_per_shard=10**6)
    with tempfile.TemporaryDirectory() as folder:
        runs = (RunFolder(Path(folder, str(number))) for number in count_up())
        first = next(runs)
        ingest(build, first, lambda read, total: None)
        traces = first.read("ingest", 0)
        texts = traces.column("reasoning").to_pylist()
        stages: dict[str, Step] = {
            "ingest": lambda: ingest(build, next(runs), lambda read, total: None),
            **_stages(traces),
        }
        seconds = _seconds({**_parts(texts), **{f"stage {name}": work for name, work in stages.items()}})
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    counting = seconds["token counts alone"]
    of_stages = {f"stage {name}": seconds[f"stage {name}"] for name in stages}
    total = sum(of_stages.values())
    of_stages["all stages from rows to blocks"] = total - of_stages["stage records"]
    of_stages["all stages without a model"] = total
    figures = {f"traces of {source.name}": float(len(texts)), "MB of reasoning": megabytes}
    figures |= {f"{name}, MB/s": megabytes / taken for name, taken in (seconds | of_stages).items()}
    figures |= {f"{name}, times counting alone": taken / counting for name, taken in of_stages.items()}
    return figures | {
        "stage split, share of counting": seconds["token counts by sentence"] / seconds["stage split"]
    }


def _parts(texts: Sequence[str]) -> dict[str, Step]:
    """What the stages do inside, from text to list."""
    vocabulary = SplitConfig().tokenizer
    count, count_pieces = token_counter(vocabulary), piece_counter(vocabulary)
    split_texts = [(text, split(text)) for text in texts]
    return {
        "token counts alone": lambda: [count([text]) for text in texts],
        "token counts by sentence": lambda: [count_pieces(text, ends) for text, ends in split_texts],
        "split": lambda: [split(text) for text in texts],
        "rules": lambda: [score_boundaries(text, ends) for text, ends in split_texts],
    }


def _stages(traces: pa.Table) -> dict[str, Step]:
    """The stages behind ingest, from table to table."""
    rows = through(SPLIT, traces).done
    cues = ScoreConfig(detector="cues")
    scored = _scored(rows, cues)
    blocks = through(PARTITION, scored).done
    count = token_counter(SplitConfig().tokenizer)
    mementos = [_mementos(row, count) for row in blocks.to_pylist()]
    written = blocks.append_column(MEMENTOS.field(0), pa.array(mementos, MEMENTOS.field(0).type))
    return {
        "split": lambda: through(SPLIT, traces),
        "score by rules": lambda: _scored(rows, cues),
        "partition": lambda: through(PARTITION, scored),
        "records": lambda: through(RECORDS, written),
    }


def _scored(rows: pa.Table, config: ScoreConfig) -> pa.Table:
    return through(SCORE, rows, score=config).done


def _mementos(row: dict[str, Any], count: TokenCounter) -> list[dict[str, Any]]:
    """A memento per block of a sixth of its characters."""
    blocks = block_texts(row["reasoning"], row["sentence_ends"], row["block_ends"])
    texts = [block.strip()[: len(block) // 6] or "-" for block in blocks]
    return [
        {"text": text, "tokens": tokens, "score": 8, "best_round": 0, "rounds": [{"checks": []}]}
        for text, tokens in zip(texts, count(texts), strict=True)
    ]


def _seconds(steps: Mapping[str, Step]) -> dict[str, float]:
    """The shortest time of each step."""
    shortest = dict.fromkeys(steps, math.inf)
    for step in steps.values():
        step()
    for _ in range(ROUNDS):
        for name, step in steps.items():
            began = time.process_time()
            step()
            shortest[name] = min(shortest[name], time.process_time() - began)
    return shortest


if __name__ == "__main__":
    for what, value in run().items():
        print(f"{value:10.2f}  {what}")
