"""The problems of a task: what a model is asked, and what a right answer is."""

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.files.atomic import value_digest

# math: equal as mathematics; words: the same words; choice: the letter; code: passes its tests; gym: as the
# generator of the problem scores it, where only full points count; function: as a user's function says.
AnswerKind = Literal["math", "words", "choice", "code", "gym", "function"]


@dataclass(frozen=True)
class Problem:
    """A problem as a model is asked it. id: unique in its task; group: what accuracy is also told by.

    details: what its kind of answer needs besides: tests of code, a generator's entry, a function's name and
    the row that it is given.
    """

    id: str
    prompt: str
    expected: str
    kind: AnswerKind
    group: str = ""
    details: Any = None

    @property
    def digest(self) -> str:
        """Of all that makes it this problem: with other words or another answer it is another one."""
        return value_digest([self.id, self.prompt, self.expected, self.kind, repr(self.details)])[:16]
