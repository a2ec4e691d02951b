"""The simulated KV cache, against a simulation that counts token by token."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.kv_cache import MODELS, area_kept, area_with_mementos, held_tokens, peak_tokens

SIZES = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 20)), max_size=8)


def token_by_token(sizes: list[tuple[int, int]]) -> list[int]:
    """Tokens held after each token that is written, and after each block that is dropped."""
    held, counts = 0, [0]
    for block, memento in sizes:
        for _ in range(block + memento):
            held += 1
            counts.append(held)
        held -= block
        counts.append(held)
    return counts


@given(SIZES)
def test_the_peak_is_the_most_that_is_ever_held(sizes: list[tuple[int, int]]) -> None:
    blocks, mementos = [b for b, _ in sizes], [m for _, m in sizes]
    assert peak_tokens(blocks, mementos) == max(token_by_token(sizes))


@given(SIZES)
def test_the_line_of_tokens_held_ends_with_all_mementos_and_peaks_at_the_peak(
    sizes: list[tuple[int, int]],
) -> None:
    blocks, mementos = [b for b, _ in sizes], [m for _, m in sizes]
    points = held_tokens(blocks, mementos)
    assert points[-1] == (sum(blocks) + sum(mementos), sum(mementos))
    assert max(held for _, held in points) == peak_tokens(blocks, mementos)


@given(SIZES)
def test_the_area_is_what_is_held_added_up_token_by_token(sizes: list[tuple[int, int]]) -> None:
    blocks, mementos = [b for b, _ in sizes], [m for _, m in sizes]
    # Over the writing of one token, half of it is held in the mean.
    growing = [after for before, after in pairwise(token_by_token(sizes)) if after == before + 1]
    assert area_with_mementos(blocks, mementos) == sum(held - 0.5 for held in growing)
    assert area_kept(sum(blocks)) == sum(held - 0.5 for held in range(1, sum(blocks) + 1))


def test_a_token_of_qwen3_8b_takes_144_kib() -> None:
    assert MODELS[0].bytes_per_token == 144 * 1024
