"""`openmementos ui`: a Prefect server with its UI, until Ctrl-C."""

from typing import Annotated

import typer

from pipeline.commands.console import messages, stop_on_signals
from pipeline.commands.prefect_server import ended, prefect_server


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of server and UI.")] = 4200,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 lets other machines in, unasked.")
    ] = "127.0.0.1",
) -> None:
    """Start a Prefect server and its UI: runs, their tasks and results, deployments, schedules.

    It keeps what it knows in ~/.prefect (or PREFECT_HOME) and runs until Ctrl-C. Builds, deployments and
    workers find it where PREFECT_API_URL names it.

    Examples:

      openmementos ui

      openmementos ui --port 4300
    """
    console = messages(stderr=False)
    # A service is stopped by SIGTERM, a person's command by Ctrl-C: both end the server first.
    stop_on_signals()
    console.print("starting Prefect's server (the first time it creates its database: up to half a minute)")
    try:
        with prefect_server(host, port) as (url, server):
            console.print(f"Prefect's UI is at {url}  (Ctrl-C stops it)")
            console.print("other terminals use it after:")
            console.print(f"  export PREFECT_API_URL={url}/api")
            raise ended(server.wait())
    except KeyboardInterrupt:
        console.print("stopped")
