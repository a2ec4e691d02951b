"""What a text gives as its answer, and whether that is words or mathematics.

Which of the two it is gets read before anything is compared: to a library for mathematics every word is a
product of its letters, and every date a difference of numbers.
"""

import re
import unicodedata

from pipeline.evaluate.units import split_unit
from pipeline.records.boxed import boxed_answers

# Longer ones are a text with an answer somewhere in it, not an answer.
_LONGEST = 100
_SAYS = re.compile(
    r"\b(?:answer|result)\b[^\n.:=]{0,60}?(?:\bis\b|[:=：])[\s:]*(?=\S)|答案\s*[是为:：]\s*(?=\S)",
    re.IGNORECASE,
)
_PREFIX = re.compile(r"(?:the\s+)?(?:final\s+)?answer\s*(?:is|[:=])+\s*", re.IGNORECASE)
_PROSE = re.compile(
    r"\\(?:text(?:bf|it|rm|normal)?|math(?:rm|bf|it|sf)|mbox|operatorname\*?|boldsymbol)\s*\{([^{}]*)\}"
)
_LAYOUT = re.compile(
    r"\\(?:left|right|displaystyle|[bB]ig[lr]?)(?![A-Za-z])|(?<!\\)\\[,;:! ]|~|\\q?quad(?![A-Za-z])"
)
_DOLLARS = re.compile(r"\$\$(.+)\$\$|\$([^$]+)\$|\\\((.+)\\\)|\\\[(.+)\\\]", re.DOTALL)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SIGNS = {
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": r"\div ", "±": r"\pm ", "≤": r"\le ",
    "≥": r"\ge ", "≠": r"\ne ", "π": r"\pi ", "∞": r"\infty ", "∅": r"\emptyset ", "∈": r"\in ",
    "∪": r"\cup ", "°": r"^\circ ", "ℝ": r"\mathbb{R}",
}  # fmt: skip


def final_answer(text: str) -> str | None:
    """The last box that says something, or else what follows the last "answer is".

    Where neither is there, a text of one short line is its own answer, and others have none.
    """
    if (boxed := last_box(text)) is not None:
        return boxed
    plain = text.replace("**", "").strip()
    if found := list(_SAYS.finditer(plain)):
        return re.split(r"\n|\.\s", plain[found[-1].end() :])[0].strip()
    return plain if plain and "\n" not in plain and len(plain) <= _LONGEST else None


def last_box(text: str) -> str | None:
    r"""What stands in the last \boxed{…} or \fbox{…} that is not empty, or in one without braces; or None."""
    if found := boxed_answers(text):
        return found[-1]
    unbraced = re.findall(r"\\boxed\s+([^\s{}$]+)", text)
    return unbraced[-1] if unbraced else None


def reference(text: str) -> str:
    """A reference without what data sets put around it: a box, or a solution before `#### 42`."""
    text = text.rpartition("####")[2].strip()
    return last_box(text) or text


def bare(text: str) -> str:
    """An answer in signs and digits of ASCII LaTeX, without dollars, layout and "The answer is"."""
    text = re.sub(
        r"(?<=\d)\s*\bper\s?cent\b", r"\\%", _LAYOUT.sub(" ", _in_ascii(text)).replace("**", "")
    ).strip()
    while around := _DOLLARS.fullmatch(text):
        text = next(filter(None, around.groups())).strip()
    if prefix := _PREFIX.match(prose := without_commands(text)):
        text = prose[prefix.end() :].strip()
    # The stop of a sentence, but not that of an abbreviation.
    return text if re.search(r"[A-Za-z]\.[A-Za-z]\.$", text) else text.removesuffix(".").strip()


def without_commands(text: str) -> str:
    r"""A text with \text{words} as words."""
    return _PROSE.sub(r"\1", text).strip()


def as_words(text: str) -> str:
    """An answer as its words are compared: without LaTeX, case, white space, and marks at its ends."""
    text = re.sub(r"[\\${}]", "", without_commands(bare(text)))
    text = re.sub(r"\s*:\s*", ":", " ".join(text.split()).casefold())
    return text.strip(" \"'“”‘’*.,;!?()") or text


def _in_ascii(text: str) -> str:
    text = re.sub("[⁰¹²³⁴-⁹⁻]+", lambda found: f"^{{{found[0].translate(_SUPERSCRIPTS)}}}", text)
    text = re.sub(r"√\s*(\w+)", r"\\sqrt{\1}", text)
    text = "".join(_SIGNS.get(sign, sign) for sign in text)
    # Compatible forms: wide letters and digits as narrow ones, ½ as 1⁄2.
    text = re.sub(r"(\d+)\N{FRACTION SLASH}(\d+)", r"\\frac{\1}{\2}", unicodedata.normalize("NFKC", text))
    return "".join(str(unicodedata.digit(sign)) if sign.isdecimal() else sign for sign in text)


# What these letters mean in a formula, though without a backslash.
FUNCTIONS = frozenset(
    {"sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"}
    | {"log", "ln", "exp", "sqrt", "pi", "infty"}
)
_IN_FORMULAS = FUNCTIONS | {"mod", "gcd", "lcm", "max", "min", "and", "or"}
# Digits that are no quantity: dates, times of a clock, versions, telephone numbers.
_NO_QUANTITY = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}/\d{1,2}/\d{2}(\d\d)?|\d{1,2}:\d\d(:\d\d)?|\d+(\.\d+){2,}"
    r"|\+?\d{2,}(-\d{2,}){2,}"
)
_LETTERS_OF_A_PRODUCT = 3
# With a hyphen as in x-ray, not as in p-q.
_LETTERS = re.compile(r"[(\s]*[^\W\d_]([^\W\d_]|[\s,.'’]|(?<=[^\W\d_]{3})-|-(?=[^\W\d_]{3}))*[)\s]*")
_OPERATORS = "+*/=<>^|"


def is_words(answer: str) -> bool:
    """Whether a bare answer is words, letters, a date or the like, and neither number nor formula."""
    if _NO_QUANTITY.fullmatch(without_commands(answer)):
        return True
    value = without_commands(split_unit(answer)[0])
    if _LETTERS.fullmatch(value) and not FUNCTIONS & {*value.casefold().split()}:
        # Letters alone are a name, a choice, an order of places, though they could be a product.
        return not re.fullmatch(r"\((\s*[a-z]\s*,)+\s*[a-z]\s*\)", value)
    formula = re.sub(r"\\(?:begin|end)\s*\{\w+\}|\\mathbb\s*\{?[A-Z]\}?|\\[A-Za-z]+", "\\\\", value)
    return any(_is_word(formula, run) for run in re.finditer(r"[^\W\d_]+", formula))


def may_be_product(answer: str) -> bool:
    """Whether letters alone, which are read as words, are a product where the other side is a formula: xy."""
    return re.fullmatch(rf"[a-z]{{2,{_LETTERS_OF_A_PRODUCT}}}", answer) is not None


def _is_word(text: str, run: re.Match[str]) -> bool:
    """Whether letters side by side are a word there, and not variables."""
    letters = run[0]
    if letters in _IN_FORMULAS or all("GREEK" in unicodedata.name(letter, "") for letter in letters):
        return False
    if not letters.isascii() or len(letters) > _LETTERS_OF_A_PRODUCT:
        return True
    before, after = text[: run.start()], text[run.end() :]
    touched = before[-1:].isdigit() or before[-1:] in {*"(){}_\\-"} or before.rstrip()[-1:] in {*_OPERATORS}
    touches = after[:1].isdigit() or after[:1] in {*"(){}_!"} or after.lstrip()[:1] in {*_OPERATORS, "-"}
    return len(letters) > 1 and not touched and not touches


_LETTER = r"(?<![A-Za-z0-9^_\\])([A-J])(?![A-Za-z0-9^_]|['’][a-z])(?!\s+(?!because|since|as|is|and|or)[a-z])"
_CHOICES = (
    # From the surest sign of a choice to the faintest; of each the last one counts.
    rf"(?i:answer|option|choice|antwort|respuesta|réponse)\s*[:=]\s*\W*(?i:option\s+)?\W*{_LETTER}",
    rf"(?i:answer|option|choice)\b[^\n.]{{0,60}}?\s\W*{_LETTER}",
    rf"答案\s*[是为:：]?\s*\W*{_LETTER}",
    rf"(?m:^\W*{_LETTER}\W*$)",
    rf"\A\W*{_LETTER}\s*[).:]",
)


def chosen_letter(answer: str) -> str | None:
    """The letter, A to J, that is boxed, or else said to be the answer; None where none or more than one is.

    In a box it stands alone, in parentheses, or in front of what the option says; two of them are no choice.
    """
    if (boxed := last_box(answer)) is not None and (letter := _boxed_letter(without_commands(bare(boxed)))):
        return letter
    outside = (
        without_commands(_in_ascii(re.sub(r"\\boxed\s*\{[^{}]*\}", " ", answer)))
        .replace("$", "")
        .replace("*", "")
    )
    for sign in _CHOICES:
        if found := re.findall(sign, outside):
            return str(found[-1])
    return None


def _boxed_letter(text: str) -> str | None:
    if alone := re.fullmatch(r"\W*([A-Ja-j])\W*", text):
        return alone[1].upper()
    for sign in (r"\(([A-J])\)", rf"^(?i:option|choice|answer)\s+{_LETTER}", r"^([A-J])\s*[).:]"):
        if found := {*re.findall(sign, text)}:
            return found.pop() if len(found) == 1 else None
    return None
