"""The characters that patterns tell apart."""

from collections.abc import Callable, Iterable

import numpy as np

from pipeline.segmentation.characters import DECIMAL, SPACE, WORD, character_sets, codes_of
from pipeline.segmentation.languages import Characters

_ASCII = 128
# As `re.IGNORECASE` has it: the long s, the Kelvin sign, and the dotless and the dotted i of Turkish.
_SMALL = str.maketrans("ſ\N{KELVIN SIGN}ıİ", "skii")


class Alphabet:
    """Sorts of characters: each of ASCII, each that a pattern names, and of the others four.

    sorts: of every character of Unicode its sort; examples: of each sort a character. Of characters that
    are not named patterns can say only whether they are white space, part of a word, or a digit. Raises
    ValueError where more are named than eight bits can count.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        named = {*range(_ASCII), *_SMALL, *(ord(character) for pattern in patterns for character in pattern)}
        kinds = character_sets() & (SPACE | WORD | DECIMAL)
        if len(named) > _MOST_NAMED:
            raise ValueError(
                f"the patterns name {len(named)} characters, ASCII included: {_MOST_NAMED} at most"
            )
        self.sorts = np.empty(len(kinds), dtype=np.uint8)
        self.examples = "".join(map(chr, sorted(named)))
        self._named = len(named)
        others = kinds.copy()
        others[list(named)] = _NAMED
        for kind in (0, SPACE, WORD, WORD | DECIMAL):
            self.sorts[others == kind] = len(self.examples)
            self.examples += chr(np.argmax(others == kind))
        self.sorts[codes_of(self.examples)] = np.arange(len(self.examples))

    def names(self, code: int) -> bool:
        """Whether the character is a sort of its own."""
        return self.examples[self.sorts[code]] == chr(code) and self.sorts[code] < self._named

    def where(self, holds: Callable[[str], bool]) -> Characters:
        """The sorts that it holds for."""
        return sum(1 << sort for sort, example in enumerate(self.examples) if holds(example))


_NAMED = 1 << 31
_MOST_NAMED = 2**8 - 4


def small(character: str) -> str:
    """The small letter that a letter is taken for where case does not count."""
    return character.translate(_SMALL).lower()
