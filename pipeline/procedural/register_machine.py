"""A task with exact mementos that a model of a million parameters learns in minutes: a register machine.

Three registers modulo 10 and a program of different instructions, which do not commute. The trace runs the
program over and over: a block is one run, each instruction followed by the registers after it, and the
block's memento names the registers at its end, all or some of them. A space follows every word, so that
words with their spaces are tokens that give back every text.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

REGISTERS = "abc"
LEFT_OUT = "_"
MODULUS = 10
# Larger ones would teach nothing new, and make swaps too rare to be learnt in minutes.
_LARGEST_STEP = 3

Kind = Literal["stated", "hidden", "mixed"]
KINDS: tuple[str, ...] = get_args(Kind)
HIDDEN_REGISTER = 2
# The share of mementos of `mixed` that leave out a register.
_MIXED_SHARE = 0.3


@dataclass(frozen=True)
class RegisterTrace:
    """A problem, its reasoning in sentences by block, a memento for each block, and the answer."""

    problem: str
    blocks: list[list[str]]
    mementos: list[str]
    answer: str


def trace(seed: int, number: int, kind: Kind, *, runs: int, steps: int) -> RegisterTrace:
    """Trace `number` of a data set; the same arguments give the same one.

    runs: of the program, each a block, 9 at the most; steps: instructions in it, 18 at the most. kind:
    `stated` mementos name all registers; `hidden` ones never the last register; `mixed` ones leave out a
    random one three times in ten.
    """
    draw = random.Random(f"{seed}/{number}")
    state = [draw.randrange(MODULUS) for _ in REGISTERS]
    program = draw.sample(INSTRUCTIONS, steps)
    problem = f"{_digits(state)}: {runs} {_spaced(program)}"
    blocks, mementos = [], []
    for _ in range(runs):
        sentences = []
        for instruction in program:
            state = executed(instruction, state)
            sentences.append(_spaced([instruction]) + _digits(state))
        blocks.append(sentences)
        hidden = HIDDEN_REGISTER if kind == "hidden" else None
        if kind == "mixed" and draw.random() < _MIXED_SHARE:
            hidden = draw.randrange(len(REGISTERS))
        mementos.append(_digits(state, hidden))
    return RegisterTrace(problem, blocks, mementos, _digits(state))


def executed(instruction: str, state: Sequence[int]) -> list[int]:
    """The registers after an instruction: `a+=3`, `a+=b`, or `a<>b`, which swaps two."""
    after = list(state)
    target, operation, operand = instruction[0], instruction[1:3], instruction[3:]
    to = REGISTERS.index(target)
    if operation == "<>":
        other = REGISTERS.index(operand)
        after[to], after[other] = after[other], after[to]
    else:
        value = after[REGISTERS.index(operand)] if operand in REGISTERS else int(operand)
        after[to] = (after[to] + value) % MODULUS
    return after


def _instructions() -> tuple[str, ...]:
    found = [f"{register}+={k}" for register in REGISTERS for k in range(1, _LARGEST_STEP + 1)]
    found += [f"{one}+={other}" for one in REGISTERS for other in REGISTERS if one != other]
    found += [f"{REGISTERS[i]}<>{REGISTERS[j]}" for i in range(3) for j in range(i + 1, 3)]
    return tuple(found)


def _digits(state: Sequence[int], hidden: int | None = None) -> str:
    return _spaced(LEFT_OUT if at == hidden else str(value) for at, value in enumerate(state))


def _spaced(words: Iterable[str]) -> str:
    return "".join(f"{word} " for word in words)


INSTRUCTIONS = _instructions()
WORDS = (*map(str, range(MODULUS)), LEFT_OUT, ":", *INSTRUCTIONS)
