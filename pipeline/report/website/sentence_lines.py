"""The sentences of a reasoning as lines of a page, each beside what is told of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from pipeline.report.website.rendered_text import rendered_pieces


@dataclass(frozen=True)
class Line:
    """A sentence without the white space around it, but its indentation. breaks: an empty line follows."""

    html: Markup
    breaks: bool


def sentence_lines(text: str, ends: Sequence[int]) -> Iterator[Line]:
    """A line for each sentence. ends: in characters, ascending, the last the text's.

    Formulas and code are looked for in the whole text: what opens in one sentence may close in another. The
    white space between two sentences belongs to the first; the indentation in it is the second one's.
    """
    indentation = ""
    for html, (start, end) in zip(rendered_pieces(text, ends), pairwise((0, *ends)), strict=True):
        sentence = text[start:end]
        between = sentence[len(sentence.rstrip()) :]
        yield Line(Markup(indentation + html.strip("\n").rstrip()), "\n\n" in between)
        indentation = between.rpartition("\n")[2] if "\n" in between else ""
