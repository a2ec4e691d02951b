"""What is carried past a block, on traces that are exact and on such as are not."""

import pytest

from pipeline.evaluate.register_machine import carried, left_out
from pipeline.procedural.register_machine import KINDS, trace
from pipeline.records import assemble


def response(kind, number: int = 0, wrong: int | None = None) -> str:  # type: ignore[no-untyped-def]
    made = trace(5, number, kind, runs=4, steps=3)
    blocks = ["".join(block) for block in made.blocks]
    if wrong is not None:
        words = blocks[wrong].split()
        words[3] = str((int(words[3]) + 1) % 10)
        blocks[wrong] = " ".join(words) + " "
    return assemble(blocks, made.mementos, made.answer)


@pytest.mark.parametrize("kind", KINDS)
def test_an_exact_trace_carries_everything(kind: str) -> None:
    found = [each for number in range(30) for each in carried(response(kind, number))]
    assert len(found) == 30 * 3 * 3
    assert all(each.is_right for each in found)
    stated = sum(each.stated for each in found) / len(found)
    # Hidden: one register of three, and where another one is written from it.
    assert {"stated": stated == 1, "hidden": 0.5 < stated < 0.7, "mixed": 0.8 < stated < 0.95}[kind]


def test_a_wrong_register_is_counted_once_though_all_that_follows_is_wrong() -> None:
    found = [each for each in carried(response("hidden", 1, wrong=1)) if not each.is_right]
    assert [each.register for each in found] == ["c"]


def test_mementos_that_leave_out_a_register_are_counted_the_last_too() -> None:
    assert left_out(response("stated")) == 0
    assert left_out(response("hidden")) == 4
    assert left_out("no response") is None
    assert list(carried("no response")) == []
