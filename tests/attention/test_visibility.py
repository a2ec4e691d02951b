from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.attention.kv_curve import held_tokens
from pipeline.attention.visibility import (
    FORGET_NOTHING,
    BlockTokens,
    Forgetting,
    memento_tokens,
    packed,
    padded,
    visible_until,
    visible_until_of_sizes,
)

TOKENS = BlockTokens(block_start=10, block_end=11, summary_start=12, summary_end=13)
S, E, B, D = TOKENS
WORD = st.integers(0, 3)
MALFORMED = st.lists(st.one_of(WORD, st.sampled_from(TOKENS)), max_size=40)
WELL_FORMED = st.lists(
    st.tuples(st.lists(WORD, max_size=5), st.lists(WORD, max_size=3)).map(
        lambda parts: [S, *parts[0], E, B, *parts[1], D]
    ),
    max_size=6,
).map(lambda blocks: [0, *(token for block in blocks for token in block), 1])
TRUNCATED = st.tuples(WELL_FORMED, st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])
DOCUMENTS = st.one_of(MALFORMED, WELL_FORMED, TRUNCATED)
FORGETTINGS = st.builds(Forgetting, st.integers(-1, 3), st.booleans())
BEFORE_MEMENTOS = st.builds(Forgetting, st.just(0), st.booleans(), st.just(True))


def blocks_and_mementos(ids: list[int]) -> list[tuple[int, int, int, int]]:
    """(block_start, block_end, summary_start, summary_end) of finished blocks, read token by token."""
    found, start, end, memento = [], None, None, None
    for at, token in enumerate(ids):
        if token == S:
            start, end, memento = at, None, None
        elif token == E and start is not None and end is None:
            end = at
        elif token == B and end is not None and memento is None:
            memento = at
        elif token == D and memento is not None:
            found.append((start, end, memento, at))
            start, end, memento = None, None, None
    return found


def naive(ids: list[int], forgetting: Forgetting) -> list[list[bool]]:
    """By query and key, whether the one sees the other: asked of every block."""
    blocks = blocks_and_mementos(ids)
    keep, inner = forgetting.keep_last_blocks, 0 if forgetting.mask_delimiters else 1
    seen = [[key <= query for key in range(len(ids))] for query in range(len(ids))]
    for query in range(len(ids)):
        for key in range(len(ids)):
            for number, (start, end, memento, _) in enumerate(blocks):
                finished = sum(done < query for *_, done in blocks)
                is_inside = start + inner <= key <= end - inner
                is_gone = query >= memento if forgetting.before_mementos else number < finished - keep
                if keep >= 0 and is_inside and is_gone:
                    seen[query][key] = False
    return seen


def pairs(visible: np.ndarray) -> list[list[bool]]:
    at = np.arange(len(visible))
    return ((at[None, :] <= at[:, None]) & (at[:, None] < visible[None, :])).tolist()


@given(DOCUMENTS, st.one_of(FORGETTINGS, BEFORE_MEMENTOS))
def test_it_is_what_a_naive_reading_of_every_pair_gives(ids: list[int], forgetting: Forgetting) -> None:
    assert pairs(visible_until(ids, TOKENS, forgetting)) == naive(ids, forgetting)


@given(DOCUMENTS)
def test_a_mementos_tokens_are_those_behind_its_start_up_to_its_end(ids: list[int]) -> None:
    inside = {at for *_, memento, end in blocks_and_mementos(ids) for at in range(memento + 1, end + 1)}
    assert set(np.flatnonzero(memento_tokens(ids, TOKENS)).tolist()) == inside


@given(
    st.lists(DOCUMENTS, min_size=1, max_size=4), st.one_of(FORGETTINGS, BEFORE_MEMENTOS), st.integers(0, 5)
)
def test_packed_documents_see_only_themselves(
    documents: list[list[int]], forgetting: Forgetting, padding: int
) -> None:
    visible = packed(visible_until(ids, TOKENS, forgetting) for ids in documents)
    edges = np.cumsum([0, *map(len, documents)]).tolist()
    seen = pairs(padded(visible, edges[-1] + padding))
    for (start, end), ids in zip(pairwise(edges), documents, strict=True):
        for query, row in enumerate(naive(ids, forgetting), start=start):
            assert seen[query] == [False] * start + row + [False] * (edges[-1] + padding - end)
    for query in range(edges[-1], edges[-1] + padding):
        assert seen[query] == [key == query for key in range(edges[-1] + padding)]


@given(DOCUMENTS, FORGETTINGS, st.integers(0, 60))
def test_what_has_been_written_decides_what_has_been_dropped(
    ids: list[int], forgetting: Forgetting, written: int
) -> None:
    """So a generator can look at its text so far, and drops what training drops."""
    written = min(written, len(ids))
    so_far = visible_until(ids[:written], TOKENS, forgetting, to_come=1)
    later = visible_until(ids, TOKENS, forgetting, to_come=1)[:written]
    assert so_far.tolist() == np.where(later <= written, later, written + 1).tolist()


@given(DOCUMENTS, FORGETTINGS)
def test_the_kv_curve_counts_the_visible(ids: list[int], forgetting: Forgetting) -> None:
    seen = naive(ids, forgetting)
    assert held_tokens(visible_until(ids, TOKENS, forgetting)).tolist() == [sum(row) for row in seen]


@given(st.lists(st.tuples(st.integers(2, 9), st.integers(2, 5)), max_size=6), st.integers(-1, 3))
def test_sizes_give_what_the_text_gives(sizes: list[tuple[int, int]], keep: int) -> None:
    ids = [t for block, memento in sizes for t in [S, *[0] * (block - 2), E, B, *[0] * (memento - 2), D]]
    of_sizes = visible_until_of_sizes(
        [block for block, _ in sizes], [memento for _, memento in sizes], Forgetting(keep)
    )
    assert of_sizes.tolist() == visible_until(ids, TOKENS, Forgetting(keep)).tolist()


def test_the_last_token_of_a_memento_still_sees_its_block() -> None:
    assert visible_until([0, S, 1, E, B, 2, D, 3], TOKENS).tolist() == [8, 7, 7, 7, 8, 8, 8, 8]


def test_a_block_dropped_before_its_memento_is_seen_by_none_of_the_mementos_tokens() -> None:
    restart = Forgetting(before_mementos=True)
    assert visible_until([0, S, 1, E, B, 2, D, 3], TOKENS, restart).tolist() == [8, 4, 4, 4, 8, 8, 8, 8]
    with pytest.raises(ValueError, match="before their mementos cannot be kept"):
        Forgetting(keep_last_blocks=1, before_mementos=True)


def test_keeping_a_block_drops_it_a_memento_later() -> None:
    ids = [S, E, B, D] * 3
    kept = visible_until(ids, TOKENS, Forgetting(keep_last_blocks=1)).tolist()
    assert kept == [8, 8, 12, 12] * 1 + [12] * 8
    assert set(visible_until(ids, TOKENS, FORGET_NOTHING).tolist()) == {12}


def test_time_is_linear_in_texts_that_never_finish_a_block() -> None:
    for ids in ([S] * 10**6, [S, E] * 10**6, [S, E, B] * 10**6, [E, B, D] * 10**6):
        assert set(visible_until(ids, TOKENS).tolist()) == {len(ids)}


def test_fewer_than_no_block_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match="keep_last_blocks is -2: give 0 or more, or -1"):
        Forgetting(-2)


@given(DOCUMENTS, DOCUMENTS, FORGETTINGS, st.integers(0, 5))
def test_markers_in_a_prompt_are_text_and_the_response_is_seen_as_it_is_alone(
    prompt: list[int], response: list[int], forgetting: Forgetting, to_come: int
) -> None:
    whole = visible_until(
        [*prompt, *response], TOKENS, forgetting, prompt=len(prompt), to_come=to_come
    ).tolist()
    end = len(prompt) + len(response) + to_come
    alone = visible_until(response, TOKENS, forgetting, to_come=to_come) + len(prompt)
    assert whole == [end] * len(prompt) + alone.tolist()


def test_a_block_that_a_prompt_opens_is_not_ended_by_the_response() -> None:
    prompt, response = [0, S, 1], [2, E, B, 3, D, 4]
    assert set(visible_until([*prompt, *response], TOKENS, prompt=3).tolist()) == {9}
    assert set(visible_until([*prompt, *response], TOKENS).tolist()) == {8, 9}, "without a prompt it is"
