"""Texts and sizes by the places where pieces end."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.pieces import block_texts, cut, offsets

PIECES = st.lists(st.text(min_size=1))


@given(PIECES)
def test_cut_gives_back_the_pieces_of_a_text(pieces: list[str]) -> None:
    assert cut("".join(pieces), list(accumulate(map(len, pieces)))) == pieces


def test_what_lies_behind_the_last_end_is_no_piece() -> None:
    assert cut("abcdef", [2, 3]) == ["ab", "c"]


@given(PIECES)
def test_offsets_tell_what_lies_before_each_piece_and_after_the_last(pieces: list[str]) -> None:
    before = offsets([len(piece) for piece in pieces])
    assert before == [len("".join(pieces[:number])) for number in range(len(pieces) + 1)]


@given(st.lists(st.lists(st.text(min_size=1), min_size=1)))
def test_blocks_are_the_sentences_up_to_their_ends(blocks: list[list[str]]) -> None:
    sentences = [sentence for block in blocks for sentence in block]
    block_ends = list(accumulate(map(len, blocks)))
    texts = block_texts("".join(sentences), list(accumulate(map(len, sentences))), block_ends)
    assert texts == ["".join(block) for block in blocks]
