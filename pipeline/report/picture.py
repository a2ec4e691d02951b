"""A figure that has been drawn."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Picture:
    """A figure's file, and what it shows in a sentence."""

    path: Path
    caption: str
