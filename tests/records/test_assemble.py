"""The published response and its parts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records.assemble import ParsedResponse, ParseError, assemble, parse
from schemas.openmementos import FORMAT_TOKENS

# Pieces of special tokens, so that parts that meet could form one if the format allowed it.
SHREDS = st.sampled_from(["<", "<|", "<|block_", "start|>", "end|>", "think>", "</", "|>", "\n", " ", "x"])
TEXTS = st.one_of(st.text(), st.lists(SHREDS).map("".join)).filter(
    lambda text: not any(token in text for token in FORMAT_TOKENS)
)
PARTS = st.tuples(st.lists(st.tuples(TEXTS, TEXTS), max_size=5), TEXTS)


@given(PARTS)
def test_parse_gives_back_what_assemble_was_given(parts: tuple[list[tuple[str, str]], str]) -> None:
    blocks, mementos = [b for b, _ in parts[0]], [m for _, m in parts[0]]
    assert parse(assemble(blocks, mementos, parts[1])) == ParsedResponse(blocks, mementos, parts[1])


@given(PARTS)
def test_regular_expressions_of_consumers_find_the_same_parts(
    parts: tuple[list[tuple[str, str]], str],
) -> None:
    blocks, mementos = [b for b, _ in parts[0]], [m for _, m in parts[0]]
    response = assemble(blocks, mementos, parts[1])
    assert re.findall(r"<\|block_start\|>(.*?)<\|block_end\|>", response, re.DOTALL) == blocks
    assert re.findall(r"<\|summary_start\|>(.*?)<\|summary_end\|>", response, re.DOTALL) == mementos
    thinking = re.search(r"<think>(.*?)</think>", response, re.DOTALL)
    assert thinking is not None
    assert response[thinking.end() :] == parts[1]


@given(st.lists(st.one_of(st.sampled_from(FORMAT_TOKENS), st.text(max_size=3))).map("".join))
def test_any_text_is_refused_or_written_the_same_way_again(text: str) -> None:
    try:
        parsed = parse(text)
    except ParseError:
        return
    assert assemble(parsed.blocks, parsed.mementos, parsed.answer) == text


def test_blocks_concatenate_to_the_reasoning() -> None:
    parsed = parse(assemble(["\n a b.\n", "\tc  "], ["x", "y"], "\n\nd"))
    assert parsed.reasoning == "\n a b.\n\tc  "


def test_the_format_is_the_published_one() -> None:
    assert assemble(["one ", "two"], ["1", "2"], "\n\n3") == (
        "<think><|block_start|>one <|block_end|><|summary_start|>1<|summary_end|>"
        "<|block_start|>two<|block_end|><|summary_start|>2<|summary_end|></think>\n\n3"
    )


@pytest.mark.parametrize("token", FORMAT_TOKENS)
@pytest.mark.parametrize("part", ["block 0", "memento 0", "answer"])
def test_a_special_token_in_any_part_is_refused_by_name(token: str, part: str) -> None:
    text = f"see {token} here"
    blocks, mementos, answer = ["b"], ["m"], "a"
    if part == "block 0":
        blocks = [text]
    elif part == "memento 0":
        mementos = [text]
    else:
        answer = text
    with pytest.raises(ValueError, match=re.escape(f"{part} holds the special token {token}")):
        assemble(blocks, mementos, answer)


def test_a_block_without_memento_is_refused() -> None:
    with pytest.raises(ValueError, match="2 blocks and 1 mementos"):
        assemble(["a", "b"], ["m"], "")


@pytest.mark.parametrize(
    ("malformed", "position", "expected"),
    [
        ("", 0, "<think>"),
        ("no thinking", 0, "<think>"),
        ("<think>loose", 7, "<|block_start|> or </think>"),
        ("<think>", 7, "<|block_start|> or </think>"),
        ("<think><|block_start|>open", 26, "<|block_end|>"),
        ("<think><|block_start|>a<|summary_start|>", 23, "<|block_end|>"),
        ("<think><|block_start|>a<|block_end|> <|summary_start|>", 36, "<|summary_start|>"),
        ("<think></think>a</think>", 16, "an answer without special tokens"),
        ("<think></think>a<|block_end|>", 16, "an answer without special tokens"),
    ],
)
def test_malformed_text_is_refused_with_position_and_what_was_expected(
    malformed: str, position: int, expected: str
) -> None:
    with pytest.raises(ParseError) as caught:
        parse(malformed)
    assert (caught.value.position, caught.value.expected) == (position, expected)
    assert f"character {position}: expected {expected}, found" in str(caught.value)
