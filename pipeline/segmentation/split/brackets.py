"""Full stops inside the brackets of a call, an index or a LaTeX command."""

import re


def is_in_call(text: str, line_start: int, at: int) -> bool:
    """Whether a bracket that follows a word, as that of a call, is open at `at` and closed behind it.

    Looked for on the line, and not far: a line may be as long as the text, and time is to be linear.
    """
    before = text[max(line_start, at - _LONGEST_CALL) : at]
    opened = _open_brackets(before)
    if not opened:
        return False
    after, _, _ = text[at : at + _LONGEST_CALL].partition("\n")
    deeper = 0
    for bracket in _BRACKET.findall(after):
        if bracket in "([{":
            deeper += 1
        elif deeper:
            deeper -= 1
        elif opened and _CALLED.match(before, max(0, opened.pop() - 1)):
            return True
    return False


def _open_brackets(text: str) -> list[int]:
    """Where the brackets stand that are open at the end of the text."""
    if "(" not in text and "[" not in text and "{" not in text:
        return []
    opened: list[int] = []
    for found in _BRACKET.finditer(text):
        if found[0] in "([{":
            opened.append(found.start())
        elif opened:
            opened.pop()
    return opened


# Characters to either side.
_LONGEST_CALL = 200
_BRACKET = re.compile(r"[][(){}]")
_CALLED = re.compile(r"[\w\]][(\[{]")
