"""What the stub model says in the economy benchmark: replies of real size, judged at the known rates."""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pipeline.records.boxed import boxed_answers
from tests.servers.stub_replies import schema_of

# Shares that reach 8 of 10 points: of first mementos by the paper, of rewritten ones so that 92 % pass after
# two rounds.
FIRST_PASS, REFINED_PASS = 0.28, 0.89
# Blocks of the released data have 1,150 tokens, their mementos 194 (design section 2).
BLOCK_PER_MEMENTO = 6
# A judge's point about one thing missing, with its formula or number.
POINT = "the bound of the second case, with the value that the reasoning finds for it, is not there"
FIRST, REFINED = "To begin with", "Once more"
WORDS = ("value", "sum", "term", "case", "bound", "proof", "root", "table", "holds", "gives", "needs")


def memento(block: str, tokens: int, opening: str) -> str:
    """A text of about a sixth of the block's tokens that the checks find nothing wrong with."""
    chance = random.Random(block + opening)
    words = [chance.choice(WORDS) for _ in range(max(8, tokens // BLOCK_PER_MEMENTO - 8))]
    answers = "".join(f" \\boxed{{{answer}}}" for answer in boxed_answers(block)[-1:])
    return f"{opening} {' '.join(words)}{answers}."


def passes(block: str, *, refined: bool) -> bool:
    """Whether the judge is content: the same for the same block, in whatever scheme it is asked."""
    return random.Random(f"{refined} {block}").random() < (REFINED_PASS if refined else FIRST_PASS)


class Replies:
    """Answers requests of the pipeline about blocks that it knows.

    A block is known in a request by standing at the end of the reasoning shown, whatever the prompt's words.
    """

    def __init__(self) -> None:
        self._blocks: dict[str, int] = {}

    @contextmanager
    def knowing(self, blocks: Sequence[str], tokens: Sequence[int]) -> Iterator[None]:
        """Knows a trace's blocks and their sizes while the body lasts."""
        self._blocks |= dict(zip(blocks, tokens, strict=True))
        try:
            yield
        finally:
            for block in blocks:
                self._blocks.pop(block, None)

    def answer(self, body: dict[str, Any]) -> str | None:
        """Mementos and verdicts; None, for the stub's own reply, where a boundary is asked about."""
        if (body.get("structured_outputs") or {}).get("regex"):
            return None
        shown = body["messages"][-1]["content"]
        # A copy: the traces' loop and the server's are two threads.
        block, tokens = max(dict(self._blocks).items(), key=lambda known: _end(shown, known[0]))
        question = shown[_end(shown, block) :]
        if schema := schema_of(body):
            return self._verdict(schema, passes(block, refined=REFINED in question))
        again = FIRST in question or REFINED in question
        return memento(block, tokens, REFINED if again else FIRST)

    def _verdict(self, schema: dict[str, Any], passed: bool) -> str:
        points = {n: f["maximum"] for n, f in schema["properties"].items() if f["type"] == "integer"}
        lost = 1 if passed else 4
        for name in points:
            taken = min(lost, points[name])
            points[name] -= taken
            lost -= taken
        # The judge is asked to explain only what cannot stand as it is.
        missing = [] if passed else [POINT] * 3
        return json.dumps({**points, "missing": missing})


def _end(shown: str, block: str) -> int:
    at = shown.rfind(block)
    return -1 if at < 0 else at + len(block)
