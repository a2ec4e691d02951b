"""The card of a release: the run's, with the repository's name and the list of releases."""

import re

from pipeline.publish.difference import RowChange

_HEADING = "## Changes"
_SECTION = re.compile(rf"\n*^{_HEADING}\n(?P<lines>.*)\Z", re.MULTILINE | re.DOTALL)
_TAGGED = re.compile(r"- \*\*(?P<tag>\S+)\*\*: ")
_QUICK_START = re.compile(r'^dataset = ".*"  # .*\n', re.MULTILINE)


def changes_of(card: str) -> list[str]:
    """The lines of the list, the latest release first."""
    found = _SECTION.search(card)
    return [line for line in found["lines"].splitlines() if line.startswith("- ")] if found else []


def latest_tag(card: str) -> str | None:
    """The tag of the latest release in the list; None where it has none."""
    lines = changes_of(card)
    found = _TAGGED.match(lines[0]) if lines else None
    return found["tag"] if found else None


def released_card(card: str, repository: str, lines: list[str]) -> str:
    """The run's card as the repository has it: its name in the quick start, the list at its end."""
    named = _QUICK_START.sub(lambda _: f'dataset = "{repository}"\n', card, count=1)
    return named.rstrip("\n") + f"\n\n{_HEADING}\n\n" + "\n".join(lines) + "\n"


def change_line(tag: str | None, rows: RowChange) -> str:
    """One release in words, for the list."""
    counted = [
        f"{number:,} {word}"
        for number, word in ((rows.new, "new"), (rows.gone, "gone"), (rows.rewritten, "rewritten"))
        if number
    ]
    name = f"**{tag}**" if tag else "untagged"
    return f"- {name}: {rows.rows:,} traces ({', '.join(counted) or 'the same traces'})"
