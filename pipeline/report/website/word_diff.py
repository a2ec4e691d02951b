"""What one round of a memento changed of the round before, word by word."""

import re
from difflib import SequenceMatcher

from markupsafe import Markup

from pipeline.report.website.plain_text import plain

_WORD = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")
# Time grows with the product of both sizes; a memento has some hundred words.
_MOST_WORDS = 1_500


def word_diff(before: str, after: str) -> Markup | None:
    """`after` with <ins> around what is new and <del> around what is gone; None where a text is too long."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    if max(len(old), len(new)) > _MOST_WORDS:
        return None
    parts = []
    for _, old_start, old_end, new_start, new_end in SequenceMatcher(None, old, new, False).get_opcodes():
        gone, come = "".join(old[old_start:old_end]), "".join(new[new_start:new_end])
        if gone == come:
            parts.append(plain(come))
            continue
        if gone:
            parts.append(Markup("<del>{}</del>").format(plain(gone)))
        if come:
            parts.append(Markup("<ins>{}</ins>").format(plain(come)))
    return Markup("").join(parts)
