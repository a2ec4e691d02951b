"""The partition stage: a shard of scored traces, each with its blocks."""

from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas.tables
from pipeline.config import PartitionConfig
from pipeline.segmentation.partition.partition import partition
from pipeline.segmentation.partition.stage import PARTITION
from tests.through_stages import through

GIVEN = pa.schema(
    [
        pa.field("trace_id", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        *schemas.tables.SENTENCES,
        *schemas.tables.SCORES,
    ]
)


def shard(*traces: tuple[list[int], list[float]]) -> pa.Table:
    """A shard of traces with these sentence sizes and boundary scores."""
    rows: list[dict[str, Any]] = [
        {
            "trace_id": f"t{number}",
            "origin": f"handmade.jsonl:{number}",
            "sentence_ends": list(range(1, len(tokens) + 1)),
            "sentence_tokens": tokens,
            "boundary_scores": scores,
            "boundary_reasons": ["rule"] * len(scores),
        }
        for number, (tokens, scores) in enumerate(traces)
    ]
    return pa.Table.from_pylist(rows, GIVEN)


TRACES = st.lists(st.integers(1, 400), min_size=1, max_size=12).flatmap(
    lambda tokens: st.tuples(
        st.just(tokens), st.lists(st.floats(0, 3), min_size=len(tokens) - 1, max_size=len(tokens) - 1)
    )
)


@settings(deadline=None)  # the first call loads the compiled code
@given(st.lists(TRACES, max_size=4))
def test_blocks_cover_the_sentences_and_their_tokens_add_up(
    traces: list[tuple[list[int], list[float]]],
) -> None:
    rows = shard(*traces)
    result = through(PARTITION, rows, partition=PartitionConfig(min_tokens=100))
    assert result.done.select(rows.column_names) == rows
    for row in result.done.to_pylist():
        starts = [0, *row["block_ends"][:-1]]
        assert row["block_ends"][-1] == len(row["sentence_tokens"])
        assert row["block_tokens"] == [
            sum(row["sentence_tokens"][start:end])
            for start, end in zip(starts, row["block_ends"], strict=True)
        ]
    assert result.counters["blocks"] == sum(map(len, result.done["block_ends"].to_pylist()))


def test_limits_and_weight_are_those_of_the_config() -> None:
    tokens, scores = [120, 80, 300, 90, 150, 60], [1.0, 3.0, 0.5, 2.0, 0.0]
    for config in (PartitionConfig(), PartitionConfig(min_tokens=50, max_tokens=320, weight=2)):
        best = partition(scores, tokens, **config.model_dump())
        (row,) = through(PARTITION, shard((tokens, scores)), partition=config).done.to_pylist()
        assert (row["block_ends"], row["objective"]) == (best.block_ends, best.objective)


def test_a_sentence_over_the_maximum_is_a_block_and_is_counted() -> None:
    config = PartitionConfig(min_tokens=10, max_tokens=100)
    result = through(PARTITION, shard(([50, 500, 50], [1.0, 1.0]), ([50, 50], [0.0])), partition=config)
    assert result.done["block_tokens"].to_pylist()[0] == [50, 500, 50]
    assert result.counters["oversized_blocks"] == 1


def test_one_sentence_is_one_block() -> None:
    (row,) = through(PARTITION, shard(([7], []))).done.to_pylist()
    assert (row["block_ends"], row["block_tokens"]) == ([1], [7])


def test_an_empty_shard_stays_empty() -> None:
    done = through(PARTITION, shard()).done
    assert done.num_rows == 0
    assert done.schema == pa.schema([*GIVEN, *schemas.tables.BLOCKS])
