"""`openmementos serve`: runs the deployments that are due, until Ctrl-C."""

import os
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.commands.console import messages, stop_on_signals
from pipeline.commands.prefect_process import guarded

if TYPE_CHECKING:
    from flows.deployments import Deployed

# A cancelled run gives up its requests, ends its engine and tells the server; then it is killed.
STOP_SECONDS = 40.0


def serve() -> None:
    """Run what is due on the Prefect server that PREFECT_API_URL names: scheduled, or started in the UI.

    Each run is a process of its own on this machine. Ctrl-C ends the runs in progress, and the model
    servers they started, and then this command; what they have done is kept, the next run goes on. What
    was running on this machine when it was killed is marked as crashed by the next one.

    Example:

      PREFECT_API_URL=http://127.0.0.1:4200/api openmementos serve
    """
    console = messages(stderr=False)
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from flows import deployments

    # A service is stopped by SIGTERM, a person's command by Ctrl-C: both end the runs first.
    stop_on_signals()
    worker = deployments.worker_name()
    try:
        url = deployments.connected()
        deployments.ensure_work_pool()
        for name in deployments.end_lost_runs():
            console.print(f"{name}: its process is gone, so it is marked as crashed; its next run goes on")
        _tell(console, url, deployments.waiting())
        command = ["worker", "start", "--pool", deployments.WORK_POOL, "--type", "process", "--name", worker]
        with guarded(command, {}) as process:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                console.print("stopping: runs in progress are ended, what they have done is kept")
                deployments.end_runs(worker, seconds=STOP_SECONDS)
                raise
        raise deployments.DeploymentError(
            f"Prefect's worker ended by itself (exit code {code}); see its messages above"
        )
    except KeyboardInterrupt:
        console.print("stopped")


def _tell(console: Console, url: str, deployed: "list[Deployed]") -> None:
    console.print(f"waiting for runs that are due on {url} (Ctrl-C stops)")
    for one in deployed:
        when = ", ".join(one.schedules) or "no schedule"
        due = f", next run {one.next_run:%Y-%m-%d %H:%M:%S %Z}" if one.next_run else ""
        console.print(f"  {one.name}: {when}{due}")
    if not deployed:
        console.print("  nothing is deployed yet: openmementos deploy --config FILE")
