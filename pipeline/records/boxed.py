"""The final answers that a text puts into \\boxed{}, compared whatever way they are typeset."""

import re


def boxed_answers(text: str) -> list[str]:
    """What stands in each \\boxed{…} (or \\fbox), in order; empty boxes and unclosed ones left out."""
    answers = []
    for found in _BOXED.finditer(text):
        end = _closing_brace(text, found.end())
        if end is not None and (answer := text[found.end() : end].strip()):
            answers.append(answer)
    return answers


def answer_stands_in(answer: str, text: str) -> bool:
    """Whether the text has this answer, in LaTeX or in plain characters: \\dfrac{3}{4} is found as 3/4."""
    wanted = _bare(answer)
    # An answer that begins or ends with a digit must not be a part of a longer number.
    before = r"(?<![0-9.])" if wanted[:1].isdigit() else ""
    after = r"(?![0-9]|\.[0-9])" if wanted[-1:].isdigit() else ""
    return re.search(before + re.escape(wanted) + after, _bare(text)) is not None


_LONGEST = 2_000
_BOXED = re.compile(r"\\f?boxe?d?\s*\{")
_BRACE = re.compile(r"(?<!\\)[{}]")
_FORMATTING = re.compile(
    r"\\(?:text|mathrm|mathbf|mathit|boldsymbol|operatorname|displaystyle|left|right|[dt]?frac)(?![a-z])"
    r"|\\[,;:!]|\\|[\s$(){}*]|(?<=[0-9]),(?=[0-9]{3})"
)
_SIGNS = str.maketrans({"√": "sqrt", "π": "pi", "∞": "infty", "−": "-", "·": "cdot", "×": "times"})


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for brace in _BRACE.finditer(text, start, start + _LONGEST):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return brace.start()
    return None


def _bare(text: str) -> str:
    text = text.replace("}{", "/").translate(_SIGNS)
    return _FORMATTING.sub("", text).casefold()
