"""What a run says, line by line, for whoever watches its folder."""

from contextlib import suppress
from pathlib import Path


class Log:
    """The lines of RUN/log.txt; tell adds one."""

    def __init__(self, run: Path) -> None:
        self.path = run / "log.txt"

    def tell(self, line: str) -> None:
        """Adds a line, where it can be written: a disk that is full ends nothing for want of one."""
        with suppress(OSError), self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
