"""What each stage adds to a shard, one Arrow schema per stage in the order they run; and what lies beside."""

import pyarrow as pa


def _list_of(type_: pa.DataType) -> pa.DataType:
    """A list as Parquet gives it back: of the same bytes, whether rows come from disk or from memory."""
    return pa.list_(pa.field("element", type_))


TRACES = pa.schema(
    [
        pa.field("trace_id", pa.string(), nullable=False),
        pa.field("problem", pa.string(), nullable=False),
        pa.field("reasoning", pa.string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("difficulty", pa.int64()),
        pa.field("origin", pa.string(), nullable=False),
    ]
)

SENTENCES = pa.schema(
    [
        pa.field("sentence_ends", _list_of(pa.int32()), nullable=False),
        pa.field("sentence_tokens", _list_of(pa.int32()), nullable=False),
    ]
)

SCORES = pa.schema(
    [
        pa.field("boundary_scores", _list_of(pa.float64()), nullable=False),
        # The name of the rule that scored a boundary, or "model".
        pa.field("boundary_reasons", _list_of(pa.string()), nullable=False),
    ]
)

BLOCKS = pa.schema(
    [
        pa.field("block_ends", _list_of(pa.int32()), nullable=False),
        pa.field("block_tokens", _list_of(pa.int32()), nullable=False),
        pa.field("objective", pa.float64(), nullable=False),
    ]
)

RUBRIC = pa.struct(
    [
        pa.field("formulas", pa.int32()),
        pa.field("values", pa.int32()),
        pa.field("methods", pa.int32()),
        pa.field("validation", pa.int32()),
        pa.field("only_confirmed", pa.int32()),
        pa.field("result_first", pa.int32()),
    ]
)

ROUND = pa.struct(
    [
        pa.field("text", pa.string()),
        pa.field("tokens", pa.int32()),
        pa.field("score", pa.int32()),
        pa.field("rubric", RUBRIC),
        pa.field("missing", _list_of(pa.string())),
        # Points of each verdict, where several judges were asked; score and rubric are what they come to.
        pa.field("verdict_totals", _list_of(pa.int32())),
        # Names of the checks that this round's memento does not pass.
        pa.field("checks", _list_of(pa.string())),
    ]
)

MEMENTO = pa.struct(
    [
        pa.field("text", pa.string()),
        pa.field("tokens", pa.int32()),
        pa.field("score", pa.int32()),
        # Number of the round that was kept, from 0.
        pa.field("best_round", pa.int32()),
        pa.field("rounds", _list_of(ROUND)),
    ]
)

MEMENTOS = pa.schema([pa.field("mementos", _list_of(MEMENTO), nullable=False)])

RECORDS = pa.schema([pa.field("response", pa.string(), nullable=False)])

REJECTED = pa.schema(
    [
        pa.field("trace_id", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)

FAILED = pa.schema(
    [
        pa.field("trace_id", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("error", pa.string(), nullable=False),
        # What the model answered, where that is the reason; for inspection.
        pa.field("replies", _list_of(pa.string()), nullable=False),
    ]
)

# Beside a shard, in no manifest: what each trace took in a stage that asks a model.
EFFORT = pa.schema(
    [
        pa.field("trace_id", pa.string(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("requests", pa.int64(), nullable=False),
        pa.field("prompt_tokens", pa.int64(), nullable=False),
        pa.field("cached_tokens", pa.int64(), nullable=False),
        pa.field("completion_tokens", pa.int64(), nullable=False),
    ]
)

# What a person thinks of mementos; at most one row for a trace, a block and a memento's text.
VERDICTS = pa.schema(
    [
        pa.field("trace_id", pa.string(), nullable=False),
        pa.field("block", pa.int32(), nullable=False),
        # Of the memento's text in UTF-8: a verdict holds for that text only.
        pa.field("memento_sha256", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("why", pa.string(), nullable=False),
        # The judge's points, and whether it and the checks were content, when the person said so.
        pa.field("score", pa.int32()),
        pa.field("passed", pa.bool_(), nullable=False),
        pa.field("at", pa.timestamp("ms", "UTC"), nullable=False),
    ]
)
