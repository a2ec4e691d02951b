"""Progress of work that has a few named steps, one after the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import progress
from rich.console import Console

Steps = Callable[[str, int, int], None]


@contextmanager
def shown_steps(console: Console) -> Iterator[Steps]:
    """A function of (step, done, in total; 0 where unknown): a bar per step on a terminal, or a line."""
    if not console.is_terminal:
        yield lambda step, done, total: console.print(f"{step}: {done:,}") if done == total else None
        return
    columns = (
        progress.TextColumn("{task.description:<22}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(compact=True),
    )
    bars: dict[str, progress.TaskID] = {}
    with progress.Progress(*columns, console=console) as shown:

        def update(step: str, done: int, total: int) -> None:
            if step not in bars:
                bars[step] = shown.add_task(step)
            shown.update(bars[step], completed=done, total=total or None)

        yield update
