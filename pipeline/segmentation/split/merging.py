"""Which candidate cuts fall because the pieces on their two sides belong together."""

from collections.abc import Callable, Sequence

import regex

from pipeline.segmentation.split.candidates import Cut
from pipeline.segmentation.split.lines import ends_sentence
from pipeline.segmentation.split.pieces import Piece, pieces

Rule = Callable[[Piece, Piece], bool]
"""Whether two neighbouring pieces, the left and the right one, belong together."""


def merge(text: str, cuts: Sequence[Cut]) -> list[int]:
    """Ends of the sentences in characters, the last one the end of the text.

    Never parted: what a rule of `INSEPARABLE` joins, and a fragment and the next piece. Kept together up
    to about 150 words: what a rule of `RELATED` joins.
    """
    ends: list[int] = []
    all_pieces = pieces(text, cuts)
    left = first = next(all_pieces)  # first: of the sentence that `left` is the last piece of
    for right in all_pieces:
        # A long list is rather cut between two items than within one.
        longest = _LONGEST_LIST if right.opening == "item" else _LONGEST
        if not (
            _is_fragment(text, first, left)
            or _belong_together(left, right, INSEPARABLE)
            or (right.end_width - first.start_width <= longest and _belong_together(left, right, RELATED))
        ):
            ends.append(left.end)
            first = right
        left = right
    if ends and _is_fragment(text, first, left):
        ends.pop()
    return [*ends, len(text)]


def _belong_together(left: Piece, right: Piece, rules: Sequence[Rule]) -> bool:
    # A loop: `any` over a generator takes twice the time, and this is where the splitter spends it.
    for rule in rules:  # noqa: SIM110
        if rule(left, right):
            return True
    return False


def _is_fragment(text: str, first: Piece, last: Piece) -> bool:
    """Whether these pieces and those between them have fewer than about five tokens."""
    width = last.end_width - first.start_width
    if width >= 2 * _FRAGMENT:
        return False
    return width < _FRAGMENT or len(_WORDS_AND_SIGNS.findall(text, first.start, last.end)) < 5


def introduced(left: Piece, right: Piece) -> bool:
    """What a colon announces, and what stands under a heading."""
    return left.last == ":" or left.opening == "heading"


def continued_by_relation(left: Piece, right: Piece) -> bool:
    """A line and the next one, which begins with "=" or closes a bracket."""
    return right.opening == "relation"


def rows_of_a_table(left: Piece, right: Piece) -> bool:
    return left.opening == right.opening == "row" and right.gap_before == "line"


def lines_of_code(left: Piece, right: Piece) -> bool:
    if right.gap_before != "line":
        return False
    return (left.is_code and (right.is_code or left.is_comment)) or (right.is_comment and not _ended(left))


def body_of_code(left: Piece, right: Piece) -> bool:
    """An indented line and its head, or the body before it, which may go on after a blank line."""
    if not right.indented or not (right.opening in ("", "small") or right.is_comment):
        return False
    if left.opening == right.opening == "row":
        return False
    return right.gap_before == "line" or (left.indented and not _ended(right))


def items_of_a_list(left: Piece, right: Piece) -> bool:
    return left.in_list and right.in_list


def steps_of_a_derivation(left: Piece, right: Piece) -> bool:
    return left.is_equation and right.is_equation


def continued_by_its_opening(left: Piece, right: Piece) -> bool:
    match right.opening:
        case "display" | "link":  # a displayed formula, or "And", "Because", across any gap
            return True
        case "small":
            # Within a line only a sentence begins so, one of a writer who has no capitals.
            return right.gap_before != "space" and not (right.begins_paragraph and _ended(left))
        case "conclusion" | "step":
            return not right.begins_paragraph
    return False


def _ended(piece: Piece) -> bool:
    # An empty piece ends a sentence, too.
    return not piece.last or ends_sentence(piece.last)


def unfinished(left: Piece, right: Piece) -> bool:
    """The last character of the left piece asks for the next."""
    return left.last in _UNFINISHED


def short(left: Piece, right: Piece) -> bool:
    """Both in an enumeration: "1: Ana", "2: Dan". Or the right one at the end of a paragraph: "Correct."

    "Wait." begins something.
    """
    if right.width >= _FRAGMENT or right.opening == "interjection":
        return False
    ends_paragraph = not right.begins_paragraph and right.gap_after != "space"
    return left.width < _FRAGMENT or ends_paragraph


INSEPARABLE: tuple[Rule, ...] = (
    introduced,
    continued_by_relation,
    rows_of_a_table,
    lines_of_code,
    body_of_code,
)
RELATED: tuple[Rule, ...] = (
    items_of_a_list,
    continued_by_its_opening,
    unfinished,
    short,
    steps_of_a_derivation,
)

# Widths, as `pieces.widths` measures.
# About 150 English words, a fifth of a block, so that the partition keeps its freedom.
_LONGEST = 900
_LONGEST_LIST = 600
_UNFINISHED = frozenset(",;=+-−×·/<>≤≥≈→⇒&(\\")
# About five tokens; those of long words may be twice as much.
_FRAGMENT = 20
# A letter without case is about a token: a Chinese sign, a Korean syllable, an Arabic letter.
_WORDS_AND_SIGNS = regex.compile(r"\p{Lo}|\w+|[^\w\s]")
