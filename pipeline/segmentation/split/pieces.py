"""Pieces of text between two candidate cuts, and what their beginnings and ends say about them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.segmentation.split.candidates import Cut, Gap
from pipeline.segmentation.split.lines import LIST_MARKER, PROSE, is_code, is_comment, is_equation, is_row


@dataclass(slots=True)
class Piece:
    """The text between two neighbouring candidate cuts."""

    start: int
    end: int
    """In characters."""
    start_width: int
    end_width: int
    """The same places as `widths` measures them, which is alike in all scripts."""
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
    def width(self) -> int:
        return self.end_width - self.start_width

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
    start, start_width, in_list = 0, 0, False
    end_widths = widths(text, [cut.end for cut in cuts])
    gap: Gap = "paragraph"
    for (end, gap_after), end_width in zip(cuts, end_widths, strict=True):
        begins_line = gap != "space"
        content = text[start:end].rstrip("*_ \t\r\n")
        found = _OPENING.match(text, start, end)
        opening = (found.lastgroup or "") if found else ""
        if begins_line and opening in ("", "small") and is_row(content):
            opening = "row"
        indented = begins_line and text[max(0, start - 2) : start] in _INDENTS
        in_list = opening == "item" or (in_list and (indented or not begins_line))
        last = content[-1:]
        yield Piece(
            start, end, start_width, end_width, gap, gap_after, content, last, opening, indented, in_list
        )
        start, start_width, gap = end, end_width, gap_after


def widths(text: str, offsets: Sequence[int]) -> Sequence[int]:
    """How much stands before each of these characters, so that a token is about four in every script.

    A character counts as the bytes of its UTF-8: 1 in Latin scripts, 2 in Cyrillic, Hebrew and Arabic, 3 in
    the scripts of India and of East Asia. In cl100k_base a byte is 0.25 tokens of English, 0.28 of Russian,
    0.33 to 0.4 of Chinese, Japanese, Korean, Hindi, Thai and Arabic; a character 0.25 to 1. Greek letters and
    signs of mathematics, which are at home in English reasoning, count as 1.
    """
    if text.isascii():
        return offsets
    code_points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    before = np.concatenate([[0], np.cumsum(_WIDTHS[np.searchsorted(_RANGES, code_points, side="right")])])
    return list(before[np.asarray(offsets)].tolist())


# Latin and Greek; Cyrillic to Arabic and beyond; 3 bytes; punctuation and mathematics; 3 bytes; letters of
# mathematics; emoji and rare scripts.
_RANGES = np.array([0x400, 0x800, 0x2000, 0x2E80, 0x1D400, 0x1D800])
_WIDTHS = np.array([1, 2, 3, 1, 3, 1, 3])
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
