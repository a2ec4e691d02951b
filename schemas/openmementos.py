"""The columns that are published, exactly as code written for microsoft/OpenMementos expects them."""

import re

import pyarrow as pa

from schemas.tables import RUBRIC

BLOCK_START = "<|block_start|>"
BLOCK_END = "<|block_end|>"
SUMMARY_START = "<|summary_start|>"
SUMMARY_END = "<|summary_end|>"
THINK_START = "<think>"
THINK_END = "</think>"

# What the format itself is written with.
FORMAT_TOKENS = (BLOCK_START, BLOCK_END, SUMMARY_START, SUMMARY_END, THINK_START, THINK_END)
# Those and the markers of ChatML, which fine-tuning wraps around a row.
SPECIAL_TOKENS = (*FORMAT_TOKENS, "<|im_start|>", "<|im_end|>", "<|endoftext|>")


def special_token_in(text: str) -> str | None:
    """The first token of the format or marker of a chat template in the text, or None.

    No text of a trace and no memento may hold one: a consumer's tokenizer would read it as structure.
    Code and formulas such as `a <|> b` or `<|x|>` are none. Time is linear in the text.
    """
    found = [match for pattern in _SPECIAL if (match := pattern.search(text))]
    return min(found, key=re.Match.start).group() if found else None


# Markers are written <|word|>, by DeepSeek with wide bars, and by some older templates as listed. In two
# patterns, as one that begins with a certain character is looked for eight times as fast as one of several.
_SPECIAL = (
    re.compile(
        r"<(?:\|[A-Za-z_]{3,}[0-9]*\|>|｜[^\s<｜]+｜>|/?think>|/?tool_(?:call|response)>|</?SYS>>"
        r"|/s>|(?:start|end)_of_turn>|[be]os>)"
    ),
    re.compile(r"\[(?:/?INST|[BE]OS)\]"),
)


def without_end_tokens(answer: str) -> tuple[str, str]:
    """The answer without the markers with which a model ended it, and these; "" where there are none.

    Only the end is looked at: a marker elsewhere is for `special_token_in`.
    """
    kept = answer
    while found := _LAST.search(kept, max(0, len(kept) - _LONGEST_END)):
        kept = kept[: found.start()]
    return kept, answer[len(kept) :]


_LONGEST_END = 200
_LAST = re.compile(
    r"(?:</s>|<end_of_turn>|<eos>|\[EOS\]|<｜end▁of▁sentence｜>"
    r"|<\|(?:im_end|endoftext|eot_id|eom_id|end_of_text|end|return|eos|END_OF_TURN_TOKEN|end_of_turn)\|>)\s*\Z"
)

DEFAULT = pa.schema(
    [
        ("problem", pa.string()),
        ("response", pa.string()),
        ("domain", pa.string()),
        ("source", pa.string()),
        ("difficulty", pa.int64()),
    ]
)

FULL = pa.schema(
    [
        *DEFAULT,
        ("sentences", pa.list_(pa.string())),
        # First and last sentence of each block, inclusive.
        ("blocks", pa.list_(pa.list_(pa.int64()))),
        ("block_summaries", pa.list_(pa.string())),
    ]
)

AUDIT_MEMENTO = pa.struct(
    [
        ("block_tokens", pa.int32()),
        ("tokens", pa.int32()),
        ("rounds", pa.int32()),
        ("best_round", pa.int32()),
        ("score", pa.int32()),
        ("first_score", pa.int32()),
        ("rubric", RUBRIC),
        # Points of each judge's verdict on the kept round, from which score and rubric come.
        ("verdict_totals", pa.list_(pa.int32())),
        ("checks", pa.list_(pa.string())),
    ]
)

AUDIT = pa.schema(
    [
        ("trace_id", pa.string()),
        ("origin", pa.string()),
        # Of the row's `response` in UTF-8: whether a row has changed is seen without its texts.
        ("response_sha256", pa.string()),
        ("reasoning_tokens", pa.int64()),
        ("memento_tokens", pa.int64()),
        ("sentence_tokens", pa.list_(pa.int32())),
        ("boundary_scores", pa.list_(pa.float64())),
        ("boundary_reasons", pa.list_(pa.string())),
        ("objective", pa.float64()),
        ("mementos", pa.list_(AUDIT_MEMENTO)),
        # Whether a model reached the answer from the mementos; null where none was asked.
        ("sufficient", pa.bool_()),
        ("model", pa.string()),
        ("judge_model", pa.string()),
        # "name@version" of each prompt that was used.
        ("prompts", pa.list_(pa.string())),
    ]
)
