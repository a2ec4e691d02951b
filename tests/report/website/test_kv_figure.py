import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.kv_cache import peak_tokens
from pipeline.report.website.kv_figure import HEIGHT, WIDTH, kv_figure

SIZES = st.lists(st.tuples(st.integers(1, 5_000), st.integers(1, 500)), min_size=1, max_size=12)


@given(SIZES)
def test_the_sawtooth_stays_within_its_scale_and_reaches_its_peak(sizes):
    blocks, mementos = zip(*sizes, strict=True)
    figure = kv_figure(blocks, mementos)
    assert figure is not None
    assert (figure.peak_kept, figure.written) == (sum(blocks), sum(blocks) + sum(mementos))
    assert figure.peak == peak_tokens(blocks, mementos)
    most = max(figure.peak, figure.peak_kept)
    points = [tuple(map(float, point)) for point in re.findall(r"([\d.]+) ([\d.]+)", figure.held_path)]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert points[-1][0] == WIDTH
    assert min(y for _, y in points) == pytest.approx(HEIGHT * (1 - figure.peak / most), abs=0.1)
    # A block's own drop: held tokens fall to what the mementos so far come to.
    assert figure.points[2] == (blocks[0] + mementos[0], mementos[0])


@given(st.integers(1, 10**7))
def test_scales_have_a_few_round_steps(most):
    figure = kv_figure([most], [1])
    assert figure is not None
    tokens = [tick.tokens for tick in figure.y_ticks]
    assert 2 <= len(tokens) <= 8
    assert tokens[0] == 0
    step = tokens[1]
    assert step == int(str(step)[0]) * 10 ** (len(str(step)) - 1)


def test_a_trace_without_blocks_has_no_figure():
    assert kv_figure([], []) is None
