"""Which candidate cuts fall because the pieces on their two sides belong together."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.segmentation.cuts import LIST_MARKER, PROSE, is_code, is_row
from pipeline.segmentation.spans import Cut, Gap


def merge(text: str, cuts: Sequence[Cut]) -> list[int]:
    """Ends of the sentences in characters, the last one the end of the text.

    Never parted: an introduction and its colon's object, a heading and what follows, rows of a
    table, lines of code, a line and the relation (`= …`) that continues it, a fragment and
    the next piece. Kept together up to about 150 words: items of one list, equations of one
    derivation, a displayed formula and the text before it, and continuations.
    """
    ends: list[int] = []
    group_start = 0
    pieces = _pieces(text, cuts)
    left = next(pieces)
    for right in pieces:
        fragment = _is_fragment(text, group_start, left.end)
        # A long list is rather cut between two items than within one.
        longest = _LONGEST_LIST if right.opening == "item" else _LONGEST
        short = right.end - group_start <= longest
        if not (fragment or _inseparable(left, right) or (short and _related(left, right))):
            ends.append(left.end)
            group_start = left.end
        left = right
    if ends and _is_fragment(text, group_start, left.end):
        ends.pop()
    return [*ends, len(text)]


def _is_fragment(text: str, start: int, end: int) -> bool:
    """Whether a piece has fewer than about five tokens."""
    length = end - start
    if length >= 2 * _FRAGMENT:
        return False
    return length < _FRAGMENT or len(_WORDS_AND_SIGNS.findall(text, start, end)) < 5


# Characters: about 150 words, a fifth of a block, so that the partition keeps its freedom.
_LONGEST = 900
_LONGEST_LIST = 600
# Characters: about five tokens; those of long words may be twice as many.
_FRAGMENT = 20
_WORDS_AND_SIGNS = re.compile(r"\w+|[^\w\s]")


class _Piece(NamedTuple):
    end: int
    length: int
    gap_before: Gap
    gap_after: Gap
    opening: str
    """The group of `_OPENING` that its first characters match, or ""."""
    last: str
    """Its last character, white space and emphasis left out."""
    equation: bool
    indented: bool
    in_list: bool
    code: bool
    comment: bool


def _pieces(text: str, cuts: Sequence[Cut]) -> Iterator[_Piece]:
    start, gap, in_list = 0, Gap.PARAGRAPH, False
    for end, gap_after in (*cuts, Cut(len(text), Gap.PARAGRAPH)):
        content = text[start:end].rstrip("*_ \t\r\n")
        found = _OPENING.match(text, start, end)
        opening = (found.lastgroup or "") if found else ""
        begins_line = gap is not Gap.SPACE
        if begins_line and opening in ("", "small") and is_row(content):
            opening = "row"
        indented = begins_line and text[max(0, start - 2) : start] in _INDENTS
        in_list = opening == "item" or (in_list and (indented or not begins_line))
        yield _Piece(
            end,
            end - start,
            gap,
            gap_after,
            opening,
            content[-1:],
            "=" in content and _EQUATION.fullmatch(text, start, start + len(content)) is not None,
            indented,
            in_list,
            begins_line and opening != "prose" and is_code(content),
            begins_line and content.startswith(("//", "/*", "# ")),
        )
        start, gap = end, gap_after


_INDENTS = frozenset({"  ", "\n\t", "\t\t", " \t", "\t "})

# Words are looked for behind capitals only, so that other openings cost little.
_OPENING = re.compile(
    rf"""
    (?P<item> {LIST_MARKER.pattern})
  | (?=[A-Zi]) (?:
        (?P<step> (?:Step|Case|Clue|Move|Row|Line|Day|Year)\ \w{{1,3}}[.:)] )
      | (?P<link> (?:And|Or|Nor|Which|Where|Whose|Because|That\ is|That\ means|This\ means|i\.e\.)\b )
      | (?P<conclusion> (?:So|Then|Thus|Therefore|Hence|Also|But|Since|This|That|These|It|They)\b )
      | (?P<interjection>
          (?:Wait|Hmm+|Okay|OK|Ok|Alright|Now|Let|First|Next|Finally|Alternatively|Oh|Ah)\b )
      | (?P<prose> {PROSE.pattern})
    )
  | (?P<small> [a-z])
  | (?P<row> \|)
  | (?P<heading> [#]{{1,6}}[ ]\S | \*\*[^*\n]{{1,80}}+\*\*[ \t]*+(?:\n|\Z) )
  | (?P<display> \\\[ | \$\$ | \\begin\{{ )
  | (?P<relation> =(?!=) | [≈≤≥≠≡→⇒⟹∴,;)\]}}]
      | \\(?:approx|leq?|geq?|neq?|equiv|to|implies|Rightarrow|rightarrow|therefore)\b )
    """,
    re.VERBOSE,
)

# Symbols, LaTeX commands, names of one or two letters, and functions: no words.
_EQUATION = re.compile(
    r"(?:[^A-Za-z\\]++|\\[A-Za-z]*+|[A-Za-z]{1,2}(?![A-Za-z])"
    r"|(?:sin|cos|tan|log|mod|gcd|lcm|max|min|exp)\b)++"
)


def _inseparable(left: _Piece, right: _Piece) -> bool:
    if left.last == ":" or left.opening == "heading" or right.opening == "relation":
        return True
    if right.opening == "row" == left.opening:
        return right.gap_before is Gap.LINE
    if right.gap_before is Gap.LINE and (
        (left.code and (right.code or left.comment)) or (right.comment and left.last not in ".!?")
    ):
        return True
    # Lines of code: a body under its head, and a body that goes on after a blank line. What looks like
    # a heading is a comment there.
    if not right.indented or not (right.opening in ("", "small") or right.comment):
        return False
    return right.gap_before is Gap.LINE or (left.indented and right.last not in ".!?")


def _related(left: _Piece, right: _Piece) -> bool:
    paragraph = right.gap_before is Gap.PARAGRAPH
    if right.in_list and left.in_list:
        return True
    if left.equation and right.equation:
        return True
    match right.opening:
        case "display" | "link":
            return True
        case "small":
            if not paragraph or left.last not in ".!?":
                return True
        case "conclusion" | "step":
            if not paragraph:
                return True
    if left.last in _UNFINISHED:
        return True
    if max(left.length, right.length) < _FRAGMENT and right.opening != "interjection":
        return True  # an enumeration: "1: Ana", "2: Dan"
    # "Correct." at the end of a paragraph belongs to it; "Wait." begins something.
    return (
        right.length < _FRAGMENT
        and not paragraph
        and right.gap_after is not Gap.SPACE
        and right.opening != "interjection"
    )


_UNFINISHED = frozenset(",;=+-−×·/<>≤≥≈→⇒&(\\")
