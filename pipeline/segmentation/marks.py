"""What the marks of a text take with them: a full stop the quotes and the white space behind it."""

from pipeline.segmentation.characters import (
    BLANK,
    CAPITAL,
    CLOSING,
    DECIMAL,
    ESCAPED,
    MARK,
    NEVER_FIRST,
    SMALL,
    SPACE,
    STOP,
    WIDE_CLOSING,
    WIDE_STOP,
    Text,
    codes_of,
    is_in,
    run,
    run_of,
    stands,
)
from pipeline.segmentation.compiled import part


@part
def next_mark(text: Text, at: int) -> int:
    """The first character from `at` on at which a mark may stand; the end of the text for none."""
    while at < len(text) and not text[at].sets & MARK:
        at += 1
    return at


@part
def mark_end(text: Text, at: int) -> int:
    """Where the mark at `at` ends with all that it takes; `at` where there is none."""
    end, code = len(text), text[at].code
    if code == NEWLINE:
        return run(text, at + 1, end, SPACE)
    if is_in(text, at, end, STOP):
        return _sentence_end(text, at)
    if code == BACKTICK:
        return run_of(text, at, end, BACKTICK)
    if code == BACKSLASH:
        return _command_end(text, at)
    if code == DOLLAR:
        return run_of(text, at, min(end, at + 2), DOLLAR)
    if is_in(text, at, end, WIDE_STOP):
        return _wide_sentence_end(text, at)
    # Three of a kind: tildes or more of them, quotes of a docstring.
    last = run_of(text, at, end if code == TILDE else min(end, at + 3), code)
    return last if last - at >= 3 else at


@part
def _sentence_end(text: Text, at: int) -> int:
    """Where the next sentence begins behind the full stop at `at`; `at` where it ends none.

    A full stop ends a sentence only before white space, which spares numbers, URLs and method calls
    (before a tab it ends the cell of a table), and what follows must be able to begin one.
    """
    end = len(text)
    closed = run(text, at + 1, end, CLOSING)
    start = run(text, closed, end, BLANK)
    return start if start > closed and _can_begin(text, start) else at


@part
def _can_begin(text: Text, at: int) -> bool:
    """Whether a sentence may begin at `at`: with no small letter, no operator, no other factorial.

    `* ` and `- ` are operators, and ".." goes on.
    """
    end = len(text)
    if at == end or is_in(text, at, end, SPACE | NEVER_FIRST):
        return False
    code = text[at].code
    if at + 1 < end:
        following = text[at + 1].code
        if (
            (code == _ASTERISK and following != _ASTERISK)
            or (code == _MINUS and is_in(text, at + 1, end, SPACE))
            or (code == _FULL_STOP and following == _FULL_STOP)
        ):
            return False
    return not (stands(text, at - 2, at, _FACTORIAL) and _is_factorial(text, at))


@part
def _is_factorial(text: Text, at: int) -> bool:
    """Whether `4!`, `n!` or `n1!` stands at `at`, or `(4!`: no sentence begins with them in "7! (3! 4!)"."""
    end = len(text)
    if text[at].code == _PARENTHESIS:
        at += 1
    number_end = run(text, at, end, DECIMAL)
    if number_end == at and is_in(text, at, end, SMALL | CAPITAL):
        number_end = run(text, at + 1, min(end, at + 2), DECIMAL)
    return at < number_end < end and text[number_end].code == _EXCLAMATION


@part
def _wide_sentence_end(text: Text, at: int) -> int:
    end = len(text)
    start = run(text, at + 1, end, WIDE_CLOSING)
    while start < end and is_in(text, start, end, SPACE) and text[start].code != NEWLINE:
        start += 1
    return at if start == end or text[start].code == NEWLINE else start


@part
def _command_end(text: Text, at: int) -> int:
    """Where the LaTeX command at `at` ends; one that can open or close nothing is no mark."""
    end = len(text)
    if is_in(text, at + 1, end, ESCAPED):
        return at + 2
    if stands(text, at, end, BEGIN):
        return name_end(text, at + len(BEGIN))
    if stands(text, at, end, END):
        return name_end(text, at + len(END))
    return at


@part
def name_end(text: Text, at: int) -> int:
    """Where the name of an environment ends."""
    end = len(text)
    while is_in(text, at, end, SMALL | CAPITAL) or (at < end and text[at].code == _ASTERISK):
        at += 1
    return at


BEGIN, END = codes_of("\\begin{"), codes_of("\\end{")
NEWLINE, BACKTICK, TILDE, DOLLAR, BACKSLASH = (ord(sign) for sign in "\n`~$\\")
_ASTERISK, _MINUS, _FULL_STOP, _PARENTHESIS, _EXCLAMATION = (ord(sign) for sign in "*-.(!")
_FACTORIAL = codes_of("! ")
