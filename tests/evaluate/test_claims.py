"""What an evaluation has to show, held against what it has shown."""

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.evaluate.claims import checked
from pipeline.evaluate.config import Claim
from pipeline.procedural.register_machine import trace
from pipeline.records import assemble


def response(left_out: int) -> str:
    """Of a register machine of four runs, with so many mementos that leave out a register."""
    made = trace(1, 0, "stated", runs=4, steps=2)
    mementos = [*["_ 1 2 "] * left_out, *made.mementos[left_out:]]
    return assemble(["".join(block) for block in made.blocks], mementos, made.answer)


def table(*rows: tuple[str, str, str, int, bool]) -> pa.Table:
    """Rows of model, mode, task, mementos that leave out a register, whether it is right."""
    names = ("model", "mode", "task", "response", "fault")
    return pa.Table.from_pylist(
        [
            dict(zip(names, (model, mode, task, response(dose), "" if right else "wrong"), strict=True))
            for model, mode, task, dose, right in rows
        ],
        pa.schema([(name, pa.string()) for name in names]),
    )


RIGHT = [("a", "memento", "t", 0, True)] * 3
WRONG = [("a", "memento", "t", 1, False)]


def claim(**told) -> Claim:  # type: ignore[no-untyped-def]
    return Claim.model_validate({"model": "a", "mode": "memento", **told})


@pytest.mark.parametrize(
    ("told", "holds"),
    [
        ({"at_least": 0.75}, True),
        ({"at_least": 0.76}, False),
        ({"at_most": 0.75}, True),
        ({"at_most": 0.74}, False),
        ({"at_least": 0.5, "at_most": 0.8}, True),
        ({"at_least": 1.0, "left_out": 0}, True),
        ({"at_least": 0.1, "left_out": 1}, False),
        ({"at_most": 0.1, "left_out": 1}, True),
        # Of no response nothing holds, not even that few are right.
        ({"at_most": 0.1, "left_out": 2}, False),
        ({"at_most": 0.9, "model": "b"}, False),
        ({"at_most": 0.9, "mode": "restart"}, False),
        ({"at_most": 0.9, "task": "u"}, False),
        ({"at_least": 0.75, "task": "t"}, True),
    ],
)
def test_a_claim_holds_where_the_share_of_its_responses_is_within_bounds(told, holds) -> None:
    (found,) = checked([claim(**told)], table(*RIGHT, *WRONG))
    assert found.holds == holds


def test_other_models_modes_and_tasks_are_not_counted() -> None:
    others = [
        ("b", "memento", "t", 0, False),
        ("a", "vanilla", "t", 0, False),
        ("a", "memento", "u", 0, False),
    ]
    (found,) = checked([claim(at_least=1.0, task="t")], table(*RIGHT, *others))
    assert (found.right, found.responses) == (3, 3)


def test_a_claim_says_what_was_seen() -> None:
    good, bad = checked([claim(at_least=0.7), claim(at_most=0.02, left_out=0)], table(*RIGHT, *WRONG))
    assert str(good) == "holds: a, memento: 3 of 4 right (75.0%), claimed at least 70%"
    assert str(bad) == (
        "DOES NOT HOLD: a, memento, mementos that leave out a register: 0: 3 of 3 right (100.0%), "
        "claimed at most 2%"
    )


@pytest.mark.parametrize(
    ("told", "message"), [({}, "claims nothing"), ({"at_least": 0.5, "at_most": 0.4}, "is more than")]
)
def test_a_claim_without_sense_is_refused(told, message) -> None:
    with pytest.raises(ValidationError, match=message):
        claim(**told)
