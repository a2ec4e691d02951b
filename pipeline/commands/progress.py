"""What a person sees while a build works: one live panel on a terminal, lines elsewhere.

Both show RUN/status.json, which the flow writes, and each step as soon as it is told.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.commands.progress_lines import ProgressLines
from pipeline.commands.progress_panel import panel
from pipeline.run.status import Status, read_status
from pipeline.run.store import RunFolder

_SECONDS_BETWEEN_LOOKS = 0.5


@contextmanager
def shown_progress(
    run: RunFolder, console: Console, seconds: float = _SECONDS_BETWEEN_LOOKS
) -> Iterator[Callable[[str], None]]:
    """Shows how far the run is while the body works; gives a function that tells a step of the body's own.

    seconds: between two looks at the folder.
    """
    ended = threading.Event()
    watched = _Watched(run)
    show = _keep_panel if console.is_terminal else _keep_lines
    watcher = threading.Thread(
        target=show, args=(watched, console, ended, seconds), name="progress", daemon=True
    )
    watcher.start()
    try:
        yield watched.tell
    finally:
        ended.set()
        watcher.join()


def _keep_panel(watched: "_Watched", console: Console, ended: threading.Event, seconds: float) -> None:
    began = time.monotonic()
    with Live(console=console, auto_refresh=False) as live:
        is_last = False
        while not is_last:
            is_last = ended.is_set()
            if news := watched.news():
                live.console.print(Text(news))
            live.update(
                panel(watched.status(), watched.step, time.monotonic() - began, console.width), refresh=True
            )
            ended.wait(seconds)


def _keep_lines(watched: "_Watched", console: Console, ended: threading.Event, seconds: float) -> None:
    lines = ProgressLines()
    is_last = False
    while not is_last:
        is_last = ended.is_set()
        for line in lines.due(watched.status(), watched.news(), watched.step, is_last=is_last):
            console.print(Text(line))
        ended.wait(seconds)


@dataclass
class _Watched:
    """A run as one command sees it. What an earlier run in the folder has left is none of it."""

    run: RunFolder
    step: str = field(default="", init=False)
    _told: str = field(default="", init=False)
    _seen: str = field(init=False)
    _before: Status | None = field(init=False)

    def __post_init__(self) -> None:
        self._seen = self.run.step()
        self._before = read_status(self.run)

    def tell(self, step: str) -> None:
        """Says what the command itself is about to do, before there is a run."""
        self._told = step

    def status(self) -> Status | None:
        """The run's status, once it has written one."""
        status = read_status(self.run)
        known = self._before
        is_new = status is not None and (known is None or status.started_at != known.started_at)
        return status if is_new else None

    def news(self) -> str:
        """The step, once each time it changes; else empty."""
        news, self._told = self._told, ""
        if not news and (step := self.run.step()) != self._seen:
            news = self._seen = step
        self.step = news or self.step
        return news
