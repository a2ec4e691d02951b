"""Where a text may be cut: ends of sentences and of lines, outside all that is kept whole."""

from pipeline.segmentation.abbreviations import belongs_to_word
from pipeline.segmentation.calls import in_call
from pipeline.segmentation.characters import (
    SPACE,
    STOP,
    WIDE_STOP,
    Rows,
    Text,
    is_in,
    run,
    stands,
)
from pipeline.segmentation.compiled import part
from pipeline.segmentation.lines import columns, is_code, is_comment, is_prose, is_row, item_start, line_end
from pipeline.segmentation.marks import (
    BACKSLASH,
    BACKTICK,
    BEGIN,
    DOLLAR,
    END,
    NEWLINE,
    TILDE,
    mark_end,
    next_mark,
)
from pipeline.segmentation.spans import (
    BACKTICKS,
    BRACKETED,
    DISPLAY,
    DOCSTRING,
    OTHER_DOCSTRING,
    PARENTHESISED,
    TILDES,
    Gap,
    Spans,
    add_cut,
    begin_environment,
    close_span,
    dollar,
    end_environment,
    fence,
    no_spans,
    open_span,
    paragraph_ends,
    text_ends,
    toggle,
)


@part
def candidate_cuts(text: Text) -> Rows:
    """Every place where a sentence may end, in order, the last the end of the text.

    No cut lies inside code (fenced, indented, in backticks), a docstring, math, a table row, an
    abbreviation, a number, a URL, a dotted name or the brackets of a call. One scan finds the marks;
    a line is looked over once where it begins, a full stop 200 characters around it, so time is linear.
    """
    length = len(text)
    spans = no_spans(length)
    at = run(text, 0, length, SPACE)
    line_start = at
    fence_start, whole = _line(text, at, is_prose(text, at, length))
    while True:
        at = next_mark(text, at)
        if at == length:
            break
        after = mark_end(text, at)
        if after == at:
            at += 1
        elif text[at].code == NEWLINE:
            prose = is_prose(text, after, length)
            _newline(spans, text, at, after, prose)
            line_start = at = after
            fence_start, whole = _line(text, at, prose)
        else:
            if is_in(text, at, length, STOP | WIDE_STOP):
                if not (whole or _is_inside(text, line_start, at, after)):
                    add_cut(spans, after, Gap.SPACE)
            elif not (at == fence_start and _fence(spans, text, at, after)):
                _span_mark(spans, text, at, after)
            at = after
    text_ends(spans)
    count = spans.state[0].cuts
    if count and spans.cuts[count - 1].end == length:
        spans.state[0].cuts = count - 1
    add_cut(spans, length, Gap.PARAGRAPH)
    return spans.cuts[: spans.state[0].cuts]


@part
def _newline(spans: Spans, text: Text, at: int, after: int, prose: bool) -> None:
    gap = Gap.LINE
    for place in range(at + 1, after):
        if text[place].code == NEWLINE:
            gap = Gap.PARAGRAPH
            break
    if gap == Gap.PARAGRAPH:
        paragraph_ends(spans, at, prose)
    add_cut(spans, after, gap)


@part
def _is_inside(text: Text, line_start: int, at: int, after: int) -> bool:
    """Whether the full stop at `at` is one of an abbreviation or a call; `after`: what follows it."""
    if text[at].code == _FULL_STOP and belongs_to_word(text, line_start, at, after):
        return True
    return in_call(text, line_start, at)


@part
def _fence(spans: Spans, text: Text, at: int, after: int) -> bool:
    """Whether the mark at `at`, from which a line begins, is a fence; then it opens or closes code."""
    length, mark = len(text), text[at].code
    if mark not in (BACKTICK, TILDE) or after - at < _SHORTEST_FENCE:
        return False
    info_end, names_language = after, False
    while info_end < length and text[info_end].code != NEWLINE:
        if text[info_end].code == BACKTICK:
            return False
        names_language = names_language or not is_in(text, info_end, length, SPACE)
        info_end += 1
    fence(spans, mark, after - at, names_language, at)
    return True


@part
def _span_mark(spans: Spans, text: Text, at: int, after: int) -> None:
    """A mark that opens or closes a span; an escaped sign does neither."""
    mark, size = text[at].code, after - at
    if mark == BACKTICK:
        toggle(spans, BACKTICKS + min(size, 3) - 1, at)
    elif mark == DOLLAR:
        if size == 1:
            dollar(spans, text, at)
        else:
            toggle(spans, DISPLAY, at)
    elif mark == BACKSLASH:
        _command(spans, text, at, after)
    elif mark == TILDE:
        toggle(spans, TILDES + size, at)
    elif mark == _QUOTE:
        toggle(spans, DOCSTRING, at)
    else:
        toggle(spans, OTHER_DOCSTRING, at)


@part
def _command(spans: Spans, text: Text, at: int, after: int) -> None:
    r"""One of `\(`, `\)`, `\[`, `\]`, `\begin{name`, `\end{name`; any other does nothing."""
    length, sign = len(text), text[at + 1].code
    if sign == _PARENTHESIS:
        open_span(spans, PARENTHESISED, at)
    elif sign == _CLOSING_PARENTHESIS:
        close_span(spans, PARENTHESISED)
    elif sign == _BRACKET:
        open_span(spans, BRACKETED, at)
    elif sign == _CLOSING_BRACKET:
        close_span(spans, BRACKETED)
    elif stands(text, at, length, BEGIN):
        begin_environment(spans, at + len(BEGIN), after, at)
    elif stands(text, at, length, END):
        end_environment(spans, text, at + len(END), after)


@part
def _line(text: Text, start: int, prose: bool) -> tuple[int, bool]:
    """Where a fence would stand in the line that begins at `start`, and whether full stops in it end nothing.

    A fence stands at the start or behind the marker of a list item. A table row or a line of code is
    whole. prose: whether it begins as prose does.
    """
    if prose:
        return start, False
    length = len(text)
    end = line_end(text, start)
    whole = (
        (start < end and text[start].code == _BAR)
        or is_comment(text, start, end)
        or is_code(text, start, end)
        or is_row(text, start, end)
    )
    item = item_start(text, start, length)
    if item > start or whole:
        return item, whole
    indent = columns(text, start)
    ends_sentence = end > start and is_in(text, end - 1, end, STOP | WIDE_STOP)
    return start, indent >= 4 or (indent >= 2 and not ends_sentence)


_QUOTE, _FULL_STOP, _BAR = (ord(sign) for sign in '".|')
_PARENTHESIS, _CLOSING_PARENTHESIS, _BRACKET, _CLOSING_BRACKET = (ord(sign) for sign in "()[]")
_SHORTEST_FENCE = 3
