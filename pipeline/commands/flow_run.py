"""A flow as a command runs it: with Prefect, with the lines of its log, with a stop that loses nothing."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from pipeline.commands.build import settle_prefect
from pipeline.commands.console import stop_on_signals
from pipeline.commands.prefect_server import prefect_for_a_run
from pipeline.run.store import RunFolder

_SECONDS_BETWEEN_LOOKS = 0.5


def quiet_libraries() -> None:
    """Keeps the bars and warnings of libraries from falling between our lines; before they are imported."""
    for library in ("HF_DATASETS_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(library, "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for library in ("torchao", "torch.utils._pytree"):
        logging.getLogger(library).setLevel(logging.ERROR)


@contextmanager
def flow_run(run: RunFolder, console: Console, *, verbose: bool) -> Iterator[None]:
    """Runs the body, which imports and calls a flow. Ctrl-C and SIGTERM end it with exit code 130."""
    settle_prefect(verbose)
    stop_on_signals()
    try:
        with prefect_for_a_run(), _shown_log(run, console):
            from transformers.utils.logging import disable_progress_bar

            disable_progress_bar()  # type: ignore[no-untyped-call]
            yield
    except KeyboardInterrupt:
        console.print(f"stopped; what is done is kept in {run.root}, run the same command to go on")
        raise typer.Exit(130) from None


@contextmanager
def _shown_log(run: RunFolder, console: Console) -> Iterator[None]:
    """Prints what the run says while the body works."""
    path = run.root / "log.txt"
    path.write_text("", encoding="utf-8")
    ended = threading.Event()

    def follow() -> None:
        with path.open(encoding="utf-8") as file:
            while True:
                last_look = ended.wait(_SECONDS_BETWEEN_LOOKS)
                for line in file:
                    console.print(line.rstrip("\n"))
                if last_look:
                    return

    watcher = threading.Thread(target=follow, name="log", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
