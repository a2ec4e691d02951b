"""`openmementos view`: a run's report in the browser, with a form for verdicts, until Ctrl-C."""

import asyncio
import threading
import webbrowser
from typing import Annotated

import typer
from rich.console import Console

from pipeline.commands import options
from pipeline.commands.console import messages, stop_on_signals
from pipeline.inspection import find_run


def view(
    run: options.Run,
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="Port on this machine; 0 is any free one.")
    ] = 8377,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address, and open no browser.")
    ] = False,
    compare: options.Beside = None,
) -> None:
    """Open a run's report in the browser: figures, traces, blocks beside their mementos, how it stands.

    Works while the run goes on; pages are written again every 15 seconds where something is new. On a trace's
    page a memento can be marked good or bad, with a word why; `openmementos verdicts` counts how far the
    judge agrees, and exports them. Served on this machine only; Ctrl-C ends it.

    Examples:

      openmementos view openmementos-sample

      openmementos view before --compare after

      openmementos view data/runs/my-mementos --port 0 --no-browser
    """
    # Not above: every other command would wait for it, too.
    from pipeline.commands.report import write_report
    from pipeline.report.website import compared_run
    from pipeline.view import Freshness, answers, listening, port_of, serve_until_stopped, url_of

    console = messages(stderr=False)
    folder = find_run(run, options.RUNS)
    other = None if compare is None else find_run(compare, options.RUNS)
    stop_on_signals()
    try:
        with listening(port) as listener:
            quiet = Console(quiet=True)
            site = write_report(folder, console, other=other).parent
            watched = [folder, *filter(None, [compared_run(site)])]
            freshness = Freshness(watched, lambda: write_report(folder, quiet), console.print)
            console.print(f"{folder.root} is shown at {url_of(listener)}  (Ctrl-C stops)")
            if not no_browser:
                _open(url_of(listener))
            asyncio.run(serve_until_stopped(listener, answers(folder, site, port_of(listener)), freshness))
    except KeyboardInterrupt:
        pass
    console.print("stopped")


def _open(url: str) -> None:
    """Opens the browser beside the server: one in the terminal would otherwise be waited for."""
    threading.Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()
