"""Text of a trace as it may stand on a page: escaped, and nothing in it acts on what stands around it."""

import re

from markupsafe import Markup, escape

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> Markup:
    """The text escaped for HTML, with signs in place of controls of terminals and of writing direction."""
    return escape(visible(text))


def visible(text: str) -> str:
    """The text with a sign for each control in it: ␛ for an escape, ⟨U+202E⟩ for a change of direction."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return _CONTROL.sub(_sign, text)


def has_controls(text: str) -> bool:
    """Whether `visible` would show anything."""
    return _CONTROL.search(text) is not None


def _sign(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"
