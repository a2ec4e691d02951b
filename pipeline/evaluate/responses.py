"""A response taken apart: whether it has the form of a memento model's, and the text of its answer."""

from dataclasses import dataclass

from pipeline.records import ParseError, parse
from schemas.openmementos import THINK_END, THINK_START

NOT_ENDED = "not ended"
NO_BLOCKS = "no blocks"


@dataclass(frozen=True)
class Parts:
    """answer: the text behind the thinking, None where it never came; fault: why the form is not that of the
    format, "" where it is."""

    answer: str | None
    fault: str


def parts_of(text: str, *, is_ended: bool) -> Parts:
    """The parts of a response with its special tokens; is_ended: whether the model has ended it itself.

    What stands before </think> is thinking, also where a chat template has opened it and no <think> is seen.
    """
    _, closed, behind = text.rpartition(THINK_END)
    if closed:
        answer: str | None = behind
    else:
        answer = None if THINK_START in text or not is_ended else text
    if not is_ended:
        return Parts(answer, NOT_ENDED)
    try:
        parsed = parse(text)
    except ParseError as error:
        return Parts(answer, f"expected {error.expected}")
    return Parts(parsed.answer, "" if parsed.blocks else NO_BLOCKS)
