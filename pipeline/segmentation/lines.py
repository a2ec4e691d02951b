"""What a line or a piece is by its look: prose, an item of a list, code, a row of a table."""

from pipeline.segmentation.characters import (
    APOSTROPHE,
    CAPITAL,
    DECIMAL,
    ITEM_END,
    ITEM_SIGN,
    ROMAN,
    SMALL,
    SPACE,
    WORD,
    Text,
    codes_of,
    is_in,
    run,
    stands,
)
from pipeline.segmentation.compiled import part


@part
def is_prose(text: Text, at: int, end: int) -> bool:
    """Whether a capitalised word and two small ones stand at `at`."""
    if not is_in(text, at, end, CAPITAL):
        return False
    at = _after_comma(text, run(text, at + 1, end, WORD | APOSTROPHE), end)
    for _ in range(2):
        word = _after_space(text, at, end)
        word_end = run(text, word, end, SMALL | APOSTROPHE)
        if word == at or word_end == word:
            return False
        at = word_end
    return True


@part
def item_start(text: Text, at: int, end: int) -> int:
    """Where the text of a list item begins behind the marker at `at`; `at` where there is none."""
    blanks = at
    if is_in(text, at, end, ITEM_SIGN):
        blanks = at + 1
    else:
        number = at + 1 if at < end and text[at].code == _PARENTHESIS else at
        number_end = _number_end(text, number, end)
        if number_end > number and is_in(text, number_end, end, ITEM_END):
            blanks = number_end + 1
    start = _after_blanks(text, blanks, end)
    if blanks == at or start in (blanks, end) or is_in(text, start, end, SPACE):
        return at
    return start


@part
def _number_end(text: Text, at: int, end: int) -> int:
    """Where the number of a list item ends: up to three digits, a letter, a Roman number of up to four."""
    if is_in(text, at, end, DECIMAL):
        return run(text, at, min(end, at + 3), DECIMAL)
    if is_in(text, at, end, SMALL | CAPITAL):
        return max(at + 1, run(text, at, min(end, at + 4), ROMAN))
    return at


@part
def is_code(text: Text, start: int, end: int) -> bool:
    """Whether the line is a comment, a tag, or ends as a statement does; white space around it left out."""
    if stands(text, start, end, _LINE_COMMENT) or stands(text, start, end, _COMMENT):
        return True
    if start == end:
        return False
    last = text[end - 1].code
    if last == _BRACE or stands(text, start, end, _TEMPLATE_TAG):
        return True
    if last == _GREATER and _is_tag(text, start, end):
        return True
    if last != _CLOSING_BRACE and last != _SEMICOLON:
        return False
    for at in range(start, end):
        if text[at].code == _BACKSLASH:
            return False
    return not _begins_with_words(text, start, end)


@part
def is_comment(text: Text, start: int, end: int) -> bool:
    return (
        stands(text, start, end, _LINE_COMMENT)
        or stands(text, start, end, _COMMENT)
        or stands(text, start, end, _HASH_COMMENT)
    )


@part
def is_row(text: Text, start: int, end: int) -> bool:
    """Whether the line has three cells, as a row of a table whose lines begin without a bar."""
    if end - start > _LONGEST_ROW:
        return False
    bars, at = 0, start
    while at < end and bars < 2:
        if stands(text, at, end, _BAR):
            bars += 1
            at += len(_BAR)
        else:
            at += 1
    return bars == 2


@part
def line_end(text: Text, start: int) -> int:
    """Where the line that begins at `start` ends, without the white space at its end."""
    end = start
    while end < len(text) and text[end].code != _NEWLINE:
        end += 1
    while end > start and is_in(text, end - 1, end, SPACE):
        end -= 1
    return end


@part
def columns(text: Text, start: int) -> int:
    """How far the line whose text begins at `start` is indented, a tab to the next multiple of four."""
    first = start
    while first > 0 and is_in(text, first - 1, first, SPACE) and text[first - 1].code != _NEWLINE:
        first -= 1
    width, column = 0, 0
    for at in range(first, start):
        step = _TAB_STOP - column % _TAB_STOP if text[at].code == _TAB else 1
        width += step
        column = 0 if text[at].code == _RETURN else column + step
    return width


@part
def _is_tag(text: Text, start: int, end: int) -> bool:
    """Whether `<a`, `</a` or `<!` stands at the start."""
    if text[start].code != _LESS:
        return False
    name = start + 1
    if name < end and text[name].code == _SLASH:
        name += 1
    return is_in(text, name, end, SMALL | CAPITAL) or (name < end and text[name].code == _EXCLAMATION)


@part
def _begins_with_words(text: Text, start: int, end: int) -> bool:
    """Whether three words stand at the start, the last two of them small."""
    word_end = run(text, start, end, SMALL | CAPITAL | APOSTROPHE)
    if word_end == start:
        return False
    for _ in range(2):
        comma = _after_comma(text, word_end, end)
        word = _after_space(text, comma, end)
        word_end = run(text, word, end, SMALL | APOSTROPHE)
        if word == comma or word_end == word:
            return False
    return True


@part
def _after_comma(text: Text, at: int, end: int) -> int:
    return at + 1 if at < end and text[at].code == _COMMA else at


@part
def _after_space(text: Text, at: int, end: int) -> int:
    return at + 1 if at < end and text[at].code == _SPACE else at


@part
def _after_blanks(text: Text, at: int, end: int) -> int:
    while at < end and (text[at].code == _SPACE or text[at].code == _TAB):
        at += 1
    return at


_LINE_COMMENT, _COMMENT, _HASH_COMMENT = codes_of("//"), codes_of("/*"), codes_of("# ")
_TEMPLATE_TAG, _BAR = codes_of("{%"), codes_of(" | ")
_SPACE, _TAB, _NEWLINE, _RETURN = (ord(sign) for sign in " \t\n\r")
_COMMA, _SEMICOLON, _PARENTHESIS, _BACKSLASH, _SLASH = (ord(sign) for sign in ",;(\\/")
_BRACE, _CLOSING_BRACE, _LESS, _GREATER, _EXCLAMATION = (ord(sign) for sign in "{}<>!")
_TAB_STOP = 4
# Longer lines speak of "3 | n" and "P(A | B)".
_LONGEST_ROW = 200
