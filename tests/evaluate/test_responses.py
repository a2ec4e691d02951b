"""Where the answer of a response stands, and what is wrong with its form."""

import pytest

from pipeline.evaluate.responses import parts_of
from pipeline.records import assemble

WHOLE = assemble(["one ", "two "], ["m1", "m2"], "the answer")
UNCLOSED = WHOLE.replace("<|summary_end|></think>", "</think>")


@pytest.mark.parametrize(
    ("text", "is_ended", "answer", "fault"),
    [
        (WHOLE, True, "the answer", ""),
        (WHOLE, False, "the answer", "not ended"),
        (
            UNCLOSED,
            True,
            "the answer",
            "expected <|summary_end|>",
        ),
        (WHOLE.partition("</think>")[0], False, None, "not ended"),
        (WHOLE.partition("</think>")[0], True, None, "expected <|block_start|> or </think>"),
        ("<think>plain</think>42", True, "42", "expected <|block_start|> or </think>"),
        ("<think></think>42", True, "42", "no blocks"),
        ("opened by a template</think>42", True, "42", "expected <think>"),
        ("<think>\nopened and never closed", True, None, "expected <|block_start|> or </think>"),
        ("just 42", True, "just 42", "expected <think>"),
        ("just 4", False, None, "not ended"),
    ],
)
def test_answer_and_fault(text: str, is_ended: bool, answer: str | None, fault: str) -> None:
    parts = parts_of(text, is_ended=is_ended)
    assert (parts.answer, parts.fault) == (answer, fault)
