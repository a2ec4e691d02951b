"""What of a register machine's state gets past the end of a block: measured on what a model wrote itself.

A block begins from the state at the end of the one before it. Its first line shows an instruction and all
registers after it, so each register that is right there has been carried over, through the memento's words
or through its entries. Judged from the state that the model itself wrote last, right or not, so that an early
mistake is counted once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.evaluate.accuracy import share_interval
from pipeline.procedural.register_machine import INSTRUCTIONS, LEFT_OUT, REGISTERS, executed
from pipeline.records import ParseError, parse


@dataclass(frozen=True)
class Carried:
    """One register behind one block. stated: whether the memento names it; is_right: in the next line."""

    register: str
    stated: bool
    is_right: bool


def carried(response: str) -> Iterator[Carried]:
    """Each register behind each block of a response that has the form, but the last block; of others none."""
    try:
        parsed = parse(response)
    except ParseError:
        return
    pairs = zip(parsed.blocks[:-1], parsed.blocks[1:], parsed.mementos[:-1], strict=True)
    for block, following, memento in pairs:
        before, after, named = block.split()[-3:], following.split()[:4], memento.split()
        if not (_is_state(before) and after[:1] and after[0] in INSTRUCTIONS and _is_state(after[1:])):
            continue
        if len(named) != len(REGISTERS):
            continue
        expected = executed(after[0], [int(digit) for digit in before])
        # Where an instruction writes a register from another one, both have to be known.
        for at, register in enumerate(REGISTERS):
            stated = all(named[source] != LEFT_OUT for source in _sources(after[0], at))
            yield Carried(register, stated, int(after[1 + at]) == expected[at])


@dataclass(frozen=True)
class CarriedShare:
    """Registers that are right, of so many; share: the mean over responses, with the ends of its interval."""

    right: int
    of: int
    share: float
    low: float
    high: float


def share_of_carried(found: Sequence[Sequence[Carried]], *, stated: bool) -> CarriedShare | None:
    """How many of the registers are right that mementos name, or do not name; None where there is none.

    found: the registers of each response. Those of one response are right or wrong together, so that they
    count for the interval as responses to one problem do (accuracy.share_interval).
    """
    by_response = [[each.is_right for each in its if each.stated is stated] for its in found]
    by_response = [its for its in by_response if its]
    if not by_response:
        return None
    shares = [sum(its) / len(its) for its in by_response]
    right, of = (sum(map(count, by_response)) for count in (sum, len))
    return CarriedShare(right, of, sum(shares) / len(shares), *share_interval(shares, of))


def left_out(response: str) -> int | None:
    """Mementos that leave out a register; None of a response that has not the form.

    The last counts like any other: the answer names all registers, behind a block that is dropped, too.
    """
    try:
        mementos = parse(response).mementos
    except ParseError:
        return None
    return sum(LEFT_OUT in memento.split() for memento in mementos)


def _is_state(words: list[str]) -> bool:
    return len(words) == len(REGISTERS) and all(word.isdigit() for word in words)


def _sources(instruction: str, at: int) -> set[int]:
    """The registers that decide what is in a register after an instruction."""
    target, operation, operand = instruction[0], instruction[1:3], instruction[3:]
    own = REGISTERS[at]
    if operation == "<>" and own in (target, operand):
        return {REGISTERS.index(operand if own == target else target)}
    if own == target and operand in REGISTERS:
        return {at, REGISTERS.index(operand)}
    return {at}
