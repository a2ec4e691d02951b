"""Pieces of text between two candidate cuts, and what their beginnings and ends say about them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.segmentation.split.candidates import Cut, Gap
from pipeline.segmentation.split.lines import LIST_MARKER, PROSE, is_code, is_comment, is_equation, is_row


@dataclass(slots=True)
class Piece:
    """The text between two neighbouring candidate cuts."""

    end: int
    """In characters."""
    length: int
    gap_before: Gap
    gap_after: Gap
    content: str
    """Without white space and emphasis at the end."""
    last: str
    """The last character of the content; "" where there is none."""
    opening: str
    """Which group of `_OPENING` its first characters match; "" for none."""
    indented: bool
    in_list: bool
    """It is an item of a list, or goes on with one."""

    @property
    def begins_paragraph(self) -> bool:
        return self.gap_before == "paragraph"

    @property
    def is_code(self) -> bool:
        return self.gap_before != "space" and self.opening != "prose" and is_code(self.content)

    @property
    def is_comment(self) -> bool:
        return self.gap_before != "space" and is_comment(self.content)

    @property
    def is_equation(self) -> bool:
        return is_equation(self.content)


def pieces(text: str, cuts: Sequence[Cut]) -> Iterator[Piece]:
    """The pieces of a text, in order. cuts: the last one at its end."""
    start, in_list = 0, False
    gap: Gap = "paragraph"
    for end, gap_after in cuts:
        begins_line = gap != "space"
        content = text[start:end].rstrip("*_ \t\r\n")
        found = _OPENING.match(text, start, end)
        opening = (found.lastgroup or "") if found else ""
        if begins_line and opening in ("", "small") and is_row(content):
            opening = "row"
        indented = begins_line and text[max(0, start - 2) : start] in _INDENTS
        in_list = opening == "item" or (in_list and (indented or not begins_line))
        yield Piece(end, end - start, gap, gap_after, content, content[-1:], opening, indented, in_list)
        start, gap = end, gap_after


_INDENTS = frozenset({"  ", "\n\t", "\t\t", " \t", "\t "})
_OPENING = re.compile(
    rf"""
    (?P<item> {LIST_MARKER})
  | (?P<step> (?:Step|Case|Clue|Move|Row|Line|Day|Year)\ \w{{1,3}}[.:)] )
  | (?P<link> (?:And|Or|Nor|Which|Where|Whose|Because|That\ is|That\ means|This\ means|i\.e\.)\b )
  | (?P<conclusion> (?:So|Then|Thus|Therefore|Hence|Also|But|Since|This|That|These|It|They)\b )
  | (?P<interjection> (?:Wait|Hmm+|Okay|OK|Ok|Alright|Now|Let|First|Next|Finally|Alternatively|Oh|Ah)\b )
  | (?P<prose> {PROSE})
  | (?P<small> [a-z])
  | (?P<row> \|)
  | (?P<heading> [#]{{1,6}}[ ]\S | \*\*[^*\n]{{1,80}}+\*\*[ \t]*+(?:\n|\Z) )
  | (?P<display> \\\[ | \$\$ | \\begin\{{ )
  | (?P<relation> =(?!=) | [≈≤≥≠≡→⇒⟹∴,;)\]}}]
      | \\(?:approx|leq?|geq?|neq?|equiv|to|implies|Rightarrow|rightarrow|therefore)\b )
    """,
    re.VERBOSE,
)
