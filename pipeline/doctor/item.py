"""One thing that was looked at."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a finding means for a build."""

    OK = "ok"
    NOTE = "note"
    """A build can do without; the remedy says what would be better."""
    BROKEN = "broken"
    """A build would stop at it."""


@dataclass(frozen=True)
class Item:
    """One thing that was looked at: what was found and, unless all is well, what to do."""

    name: str
    state: State
    found: str
    remedy: str = ""


def ok(name: str, found: str) -> Item:
    return Item(name, State.OK, found)


def note(name: str, found: str, remedy: str) -> Item:
    return Item(name, State.NOTE, found, remedy)


def broken(name: str, found: str, remedy: str) -> Item:
    return Item(name, State.BROKEN, found, remedy)
