"""What counts as a token of the format or of a chat template."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.openmementos import SPECIAL_TOKENS, special_token_in

MARKERS = (
    *SPECIAL_TOKENS,
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|assistant|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|reserved_special_token_12|>",
    "<｜end▁of▁sentence｜>",
    "<｜User｜>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
)


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_of_a_format_or_chat_template_is_named(marker: str) -> None:
    assert special_token_in(f"see{marker}here") == marker


@pytest.mark.parametrize(
    "text",
    [
        "parser = many a <|> b",
        "the mean <|x|> of |x|, and <|dx|>",
        "a <| f |> g",
        "x <|y z|> w",
        "f<｜ ｜>",
        "arr[INSTALL] [inst]",
        "cout <<SYSTEM>> x",
        "I think> so <thinking>",
        "List<tool_calls>",
    ],
)
def test_code_and_formulas_that_look_alike_are_none(text: str) -> None:
    assert special_token_in(text) is None


@given(st.text("<|>｜ a"), st.sampled_from(MARKERS))
def test_the_first_marker_of_a_text_is_named(before: str, marker: str) -> None:
    assert special_token_in(f"{before} {marker}[INST]") == (special_token_in(before) or marker)


def test_the_first_of_several_tokens_is_named_whatever_it_begins_with() -> None:
    assert special_token_in("a [INST] b <think> c") == "[INST]"
    assert special_token_in("a <think> b [INST] c") == "<think>"
