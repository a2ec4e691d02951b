import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.context_window import first_shown, fitting, shown_tokens
from pipeline.llm.model import ContextTooLong
from pipeline.text.pieces import offsets

sizes = st.lists(st.integers(1, 400), min_size=1, max_size=80)


@given(sizes, st.integers(64, 2000), st.data())
def test_what_is_shown_fits_or_is_the_last_sentence(tokens, limit, data):
    end = data.draw(st.integers(1, len(tokens)))
    start = first_shown(offsets(tokens), end, limit)
    assert 0 <= start < end
    assert sum(tokens[start:end]) <= limit or start == end - 1


@given(sizes, st.integers(64, 2000))
def test_the_beginning_moves_rarely(tokens, limit):
    before = offsets(tokens)
    starts = [first_shown(before, end, limit) for end in range(1, len(tokens) + 1)]
    assert starts == sorted(starts)
    assert len(set(starts)) <= 2 + before[-1] // max(1, limit // 2)


def test_everything_is_shown_where_it_fits():
    assert first_shown(offsets([10, 10, 10]), 3, 30) == 0


def test_an_unknown_window_is_no_bound():
    assert shown_tokens(None, 16_384, around=0) == 16_384
    assert shown_tokens(8_192, 16_384, around=0) < 8_192


def asked(limit: int, fits: int, **options: int) -> list[int]:
    limits: list[int] = []

    async def ask(limit: int) -> int:
        limits.append(limit)
        if limit > fits:
            raise ContextTooLong("trace 1", "too long")
        return limit

    asyncio.run(fitting(limit, ask, **options))
    return limits


def test_a_prompt_that_is_too_long_is_halved_until_it_fits():
    assert asked(1000, 300) == [1000, 500, 250]


def test_a_prompt_that_never_fits_is_an_error():
    with pytest.raises(ContextTooLong):
        asked(1000, 10)


def test_a_prompt_that_gets_no_shorter_is_not_asked_again():
    with pytest.raises(ContextTooLong):
        asked(400, 10, shortest=400)
