"""Full stops inside the brackets of a call, an index or a LaTeX command."""

from pipeline.segmentation.characters import CLOSING_BRACKET, OPENING_BRACKET, WORD, Text, is_in
from pipeline.segmentation.compiled import part


@part
def in_call(text: Text, line_start: int, at: int) -> bool:
    """Whether a bracket that hangs on a word, as that of a call, is open at `at` and closed behind it.

    Looked for on the line, and not far: a line may be as long as the text, and time is to be linear.
    """
    first = max(line_start, at - _LONGEST_CALL)
    bracket = _open_bracket(text, first, at)
    if bracket < first:
        return False
    deeper = 0
    for place in range(at, min(len(text), at + _LONGEST_CALL)):
        if text[place].code == _NEWLINE:
            return False
        if is_in(text, place, place + 1, OPENING_BRACKET):
            deeper += 1
        elif is_in(text, place, place + 1, CLOSING_BRACKET):
            if deeper:
                deeper -= 1
            elif _hangs_on_word(text, first, bracket):
                return True
            else:
                bracket = _open_bracket(text, first, bracket)
                if bracket < first:
                    return False
    return False


@part
def _open_bracket(text: Text, first: int, at: int) -> int:
    """The innermost bracket that is open at `at`, looked for from `first` on; `first - 1` for none."""
    closed = 0
    for place in range(at - 1, first - 1, -1):
        here = text[place].sets & (OPENING_BRACKET | CLOSING_BRACKET)
        if here == 0:
            continue
        if here & CLOSING_BRACKET:
            closed += 1
        elif closed:
            closed -= 1
        else:
            return place
    return first - 1


@part
def _hangs_on_word(text: Text, first: int, bracket: int) -> bool:
    if bracket == first:
        return False
    return is_in(text, bracket - 1, bracket, WORD) or text[bracket - 1].code == _CLOSING_BRACKET


_NEWLINE, _CLOSING_BRACKET = ord("\n"), ord("]")
# Characters to either side.
_LONGEST_CALL = 200
