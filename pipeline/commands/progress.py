"""Bars per stage with rate and time left on a terminal; plain lines elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pipeline.config import BuildConfig
from pipeline.run.progress import ProgressReader, StageProgress
from pipeline.run.store import RunFolder
from pipeline.stages.registry import stage_named

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def shown_progress(run: RunFolder, build: BuildConfig, console: Console) -> Iterator[None]:
    """Shows how far the run is while the body works."""
    ended = threading.Event()
    show = _bars if console.is_terminal else _lines
    watcher = threading.Thread(
        target=show, args=(ProgressReader(run, build), console, ended), name="progress", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _bars(reader: ProgressReader, console: Console, ended: threading.Event) -> None:
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>14}"),
        TimeRemainingColumn(compact=True),
    )
    bars: dict[str, TaskID] = {}
    rates = _Rates()
    step = _Step(reader)
    with Progress(*columns, console=console, transient=False, speed_estimate_period=600) as progress:
        while True:
            last_look = ended.is_set()
            if news := step.news():
                progress.console.print(news, highlight=False)
            for stage in reader.read():
                if stage.stage not in bars:
                    verb = stage_named(stage.stage).verb
                    bars[stage.stage] = progress.add_task(verb, total=stage.expected, rate="")
                progress.update(
                    bars[stage.stage], completed=stage.done, total=stage.expected, rate=rates.text(stage)
                )
            if last_look:
                return
            ended.wait(_SECONDS_BETWEEN_LOOKS)


def _lines(reader: ProgressReader, console: Console, ended: threading.Event) -> None:
    rates = _Rates()
    # What an earlier run has done is no news.
    told = {stage.stage: stage.done for stage in reader.read()}
    next_line = time.monotonic()
    step = _Step(reader)
    while True:
        last_look = ended.is_set()
        stages = reader.read()
        for stage in stages:
            rates.text(stage)
            complete = stage.shards_done == stage.shards
            moved = stage.done != told.get(stage.stage, 0)
            due = last_look or complete or time.monotonic() >= next_line
            if moved and due:
                told[stage.stage] = stage.done
                verb = stage_named(stage.stage).verb
                rate = rates.text(stage)
                end = f", {rate}" if rate else ""
                console.print(f"{verb}: {stage.done} of {stage.expected} traces{end}", highlight=False)
        if news := step.news():
            console.print(news, highlight=False)
        if time.monotonic() >= next_line:
            next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
        if last_look:
            return
        ended.wait(_SECONDS_BETWEEN_LOOKS)


class _Step:
    """What the run says it is doing, once each time it changes."""

    def __init__(self, reader: ProgressReader) -> None:
        self._reader = reader
        # What an earlier run said last is no news.
        self._told = reader.step()

    def news(self) -> str:
        step = self._reader.step()
        if step == self._told:
            return ""
        self._told = step
        return step


class _Rates:
    """Traces per second of each stage since it began to move."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[float, int]] = {}

    def text(self, stage: StageProgress) -> str:
        now = time.monotonic()
        if not stage.begun:
            self._first.pop(stage.stage, None)
            return ""
        since, done = self._first.setdefault(stage.stage, (now, stage.done))
        if stage.done == done or now == since:
            return ""
        rate = (stage.done - done) / (now - since)
        left = (stage.expected - stage.done) / rate
        per = f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"
        return per if stage.done >= stage.expected else f"{per}, {_duration(left)} left"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
