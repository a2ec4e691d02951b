"""The list of releases at the end of a published card."""

import re

from pipeline.publish.difference import RowChange

_HEADING = "## Changes"
_SECTION = re.compile(rf"\n*^{_HEADING}\n(?P<lines>.*)\Z", re.MULTILINE | re.DOTALL)


def without_changes(card: str) -> str:
    """The card up to its list of changes."""
    return _SECTION.sub("", card).rstrip("\n") + "\n"


def changes_of(card: str) -> list[str]:
    """The lines of the list, the latest release first."""
    found = _SECTION.search(card)
    return [line for line in found["lines"].splitlines() if line.startswith("- ")] if found else []


def with_changes(card: str, lines: list[str]) -> str:
    """The card with this list at its end."""
    return without_changes(card) + f"\n{_HEADING}\n\n" + "\n".join(lines) + "\n"


def change_line(tag: str | None, rows: RowChange) -> str:
    """One release in words, for the list."""
    counted = [
        f"{number:,} {word}"
        for number, word in ((rows.new, "new"), (rows.gone, "gone"), (rows.rewritten, "rewritten"))
        if number
    ]
    name = f"**{tag}**" if tag else "untagged"
    return f"- {name}: {rows.rows:,} traces ({', '.join(counted) or 'the same traces'})"
