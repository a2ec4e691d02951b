"""The report written again while the run goes on, and when somebody gave a verdict."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.run.store import RunFolder

_SECONDS = 15.0


class Freshness:
    """Writes the report again where one of its runs has changed since the last time, or since this was made.

    refresh: writes it; tell: shows a line, for errors, after which it is tried again. seconds: between looks.
    """

    def __init__(
        self,
        runs: Sequence[RunFolder],
        refresh: Callable[[], object],
        tell: Callable[[str], None],
        *,
        seconds: float = _SECONDS,
    ) -> None:
        self._runs = runs
        self._refresh = refresh
        self._tell = tell
        self._seconds = seconds
        self._written = _state(runs)
        self._told = ""

    async def keep(self) -> None:
        """Looks every so many seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Writes the report if a run has changed."""
        # Before the report reads it: what changes meanwhile is for the next time.
        state = _state(self._runs)
        if state == self._written:
            return
        try:
            self._refresh()
        except Exception as error:
            # The pages that are there can still be read. The same error is not told every time.
            told = f"the report could not be written again: {error}"
            if told != self._told:
                self._tell(told)
            self._told = told
        else:
            self._written, self._told = state, ""


def _state(runs: Sequence[RunFolder]) -> tuple[int, int]:
    """How many manifests there are, and when they, configs, efforts or verdicts changed last."""
    files = [path for run in runs for which in _WATCHED for path in run.root.glob(which)]
    others = [path for run in runs for path in (run.config_file, run.verdicts)]
    return len(files), max(map(_changed, [*files, *others]))


_WATCHED = ("*/shard-*.json", "effort/*.parquet")


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
