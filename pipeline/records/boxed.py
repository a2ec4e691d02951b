"""The final answers that a text puts into \\boxed{}, compared whatever way they are typeset."""

import re
from collections.abc import Iterable


def boxed_answers(text: str) -> list[str]:
    """What stands in each \\boxed{…} (or \\fbox), in order; empty, unclosed and very long ones left out."""
    if "\\boxed" not in text and "\\fbox" not in text:
        return []
    # The start of the answer for each brace that is open, None where the brace is no box's.
    open_braces: list[int | None] = []
    answers: list[tuple[int, str]] = []
    for found in _BRACE.finditer(text):
        if found.group() != "}":
            open_braces.append(found.end() if found.group("box") else None)
        elif open_braces:
            start = open_braces.pop()
            if start is not None and found.start() - start <= _LONGEST:
                answers.append((start, text[start : found.start()].strip()))
    return [answer for _, answer in sorted(answers) if answer]


def answers_not_in(answers: Iterable[str], *texts: str) -> list[str]:
    """The answers that stand in none of the texts, in LaTeX or in plain characters (\\frac{3}{4}, 3/4)."""
    bare_texts = [_bare(text) for text in texts]
    return [answer for answer in answers if not any(_stands(_bare(answer), text) for text in bare_texts)]


_LONGEST = 2_000
_BRACE = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*)\{|(?<!\\)[{}]")
_FORMATTING = re.compile(
    r"\\(?:text|mathrm|mathbf|mathit|boldsymbol|operatorname|displaystyle|left|right|[dt]?frac)(?![a-z])"
    r"|\\[,;:!]|\\|[\s$(){}*]|(?<=[0-9]),(?=[0-9]{3})"
)
_SIGNS = str.maketrans({"√": "sqrt", "π": "pi", "∞": "infty", "−": "-", "·": "cdot", "×": "times"})


def _stands(answer: str, text: str) -> bool:
    # An answer that begins or ends with a digit must not be a part of a longer number.
    before = r"(?<![0-9.])" if answer[:1].isdigit() else ""
    after = r"(?![0-9]|\.[0-9])" if answer[-1:].isdigit() else ""
    return re.search(before + re.escape(answer) + after, text) is not None


def _bare(text: str) -> str:
    text = text.replace("}{", "/").translate(_SIGNS)
    return _FORMATTING.sub("", text).casefold()
