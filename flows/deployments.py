"""The dataset flow on a Prefect server: registered there, waiting for its schedule, ended on request."""

import os
import socket
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    FlowRun,
    State,
    StateType,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import DeploymentApplyError, RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists
from prefect.schedules import Cron, Schedule
from prefect.settings import get_current_settings
from prefect.states import Cancelling, Crashed
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker

from flows.dataset import dataset
from pipeline.config import BuildConfig

WORK_POOL = "openmementos"
_BANNED_IN_NAMES = frozenset("/%&<>")
_LOOK_SECONDS = 0.5


class DeploymentError(Exception):
    """It cannot be deployed or served; the message says why and what to do."""


@dataclass(frozen=True)
class Deployed:
    """A deployment as a person looks for it. next_run: aware; None where nothing is scheduled."""

    name: str
    schedules: tuple[str, ...]
    next_run: datetime | None


def connected() -> str:
    """API address of the Prefect server that the settings name and that answers.

    Raises DeploymentError where none is named or it does not answer.
    """
    url = get_current_settings().api.url
    if url is None:
        raise DeploymentError(
            "PREFECT_API_URL names no Prefect server: start one with `openmementos ui`, then "
            "`export PREFECT_API_URL=http://127.0.0.1:4200/api`"
        )
    with get_client(sync_client=True) as client:
        trouble = client.api_healthcheck()
    if trouble is not None:
        raise DeploymentError(
            f"no Prefect server answers at {url} ({trouble}): "
            "start one with `openmementos ui`, or correct PREFECT_API_URL"
        )
    return url


def ui_url(path: str) -> str:
    """Address of a page of the connected server's UI."""
    return f"{(get_current_settings().ui_url or '').rstrip('/')}/{path}"


def cron_schedule(cron: str, timezone: str) -> Schedule:
    """A schedule that is due when `cron` says, by the clocks of `timezone` (e.g. Europe/Berlin).

    Raises DeploymentError for what is neither.
    """
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DeploymentError(
            f"--timezone {timezone}: unknown; name one as in UTC, Europe/Berlin or America/New_York"
        ) from None
    try:
        return Cron(cron, timezone=timezone)
    except ValueError:
        raise DeploymentError(
            f'--cron "{cron}": not a schedule; give minute, hour, day, month and weekday, '
            'e.g. "0 3 * * *" for every night at 3'
        ) from None


def deploy_dataset(build: BuildConfig, run_dir: Path, *, name: str, schedule: Schedule | None) -> UUID:
    """Identity of the deployment that builds this dataset; one of the same name is updated.

    build, run_dir: what its runs get unless told otherwise; paths must be absolute, since a run starts in
    a folder of its own. schedule: replaces the one it had; None leaves it to be started by hand.
    """
    if banned := sorted(set(name) & _BANNED_IN_NAMES):
        raise DeploymentError(f"--name {name}: a deployment's name cannot have {' '.join(banned)}")
    ensure_work_pool()
    deployment = RunnerDeployment.from_flow(
        dataset,
        name,
        description=_description(build, run_dir),
        tags=["openmementos", build.name],
        parameters={"build": build.model_dump(mode="json"), "run_dir": str(run_dir)},
        schedules=[schedule] if schedule else [],
        # Two runs cannot work on one folder; what the later one would find is found by the next.
        concurrency_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
        ),
        work_pool_name=WORK_POOL,
        # Where the package is installed, its source files may lie anywhere.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    try:
        identity = deployment.apply()
    except DeploymentApplyError as error:
        raise DeploymentError(f"the Prefect server refused the deployment: {error}") from error
    assert isinstance(identity, UUID)  # a coroutine only where an event loop runs
    return identity


def ensure_work_pool() -> None:
    """Creates the work pool that deployments wait in and workers take from, unless it is there."""
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(
                WorkPoolCreate(
                    name=WORK_POOL,
                    type=ProcessWorker.type,
                    description="Dataset builds; `openmementos serve` runs what is due.",
                    base_job_template=ProcessWorker.get_default_base_job_template(),
                )
            )
        except ObjectAlreadyExists:
            return


def waiting() -> list[Deployed]:
    """The deployments in the work pool, by name."""
    with get_client(sync_client=True) as client:
        found = client.read_deployments(work_pool_filter=_POOL)
        return sorted((_deployed(client, one) for one in found), key=lambda one: one.name)


def worker_name() -> str:
    """What this process calls its worker: a run is known by it to be of this host, and of which process."""
    return f"{_WORKERS_OF_THIS_HOST}{os.getpid()}"


def end_lost_runs() -> list[str]:
    """Names of the runs of this host that no process works on any more, which have been Running until now.

    They are what is left of a `serve` that was killed together with its worker. Now they are Crashed, and no
    longer hold the place of their deployment's next run. To be called before this process starts its worker.
    As for Prefect itself, processes of one host name are those of one machine, or one container.
    """
    lost: State[Any] = Crashed(
        message="its process is gone, as after a kill or a crash of the machine; run it again to go on"
    )
    with get_client(sync_client=True) as client:
        runs = [run for run in _unfinished(client) if _is_left_behind(_worker_of(run))]
        worked_on = _runs_in_processes() if runs else set()
        runs = [run for run in runs if str(run.id) not in worked_on]
        for run in runs:
            client.set_flow_run_state(run.id, lost, force=True)
    return [run.name for run in runs]


def end_runs(worker: str, *, seconds: float) -> None:
    """Cancels what a worker is running; returns when it has ended, or after `seconds`."""
    deadline = time.monotonic() + seconds
    stopped: State[Any] = Cancelling(message="`openmementos serve` was stopped; run it again to go on")
    with get_client(sync_client=True) as client:
        for run in _runs_of(client, worker):
            client.set_flow_run_state(run.id, stopped, force=True)
        while _runs_of(client, worker) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)


def _description(build: BuildConfig, run_dir: Path) -> str:
    sources = "\n".join(f"- `{path}`" for path in build.source.paths) or "- none named"
    return (
        f"Builds the Memento dataset **{build.name}** into `{run_dir}` from\n\n{sources}\n\n"
        f"The result lies in `{run_dir / 'publish'}`. What an earlier run has done is not done again: a run "
        "that finds nothing new ends quickly and changes nothing."
    )


_POOL = WorkPoolFilter(name=WorkPoolFilterName(any_=[WORK_POOL]))
_UNFINISHED = FlowRunFilter(
    state=FlowRunFilterState(
        type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
    )
)


_WORKERS_OF_THIS_HOST = f"{WORK_POOL}-{socket.gethostname()}-"


def _runs_of(client: SyncPrefectClient, worker: str) -> list[FlowRun]:
    return [run for run in _unfinished(client) if _worker_of(run) == worker]


def _unfinished(client: SyncPrefectClient) -> list[FlowRun]:
    return client.read_flow_runs(flow_run_filter=_UNFINISHED, work_pool_filter=_POOL)


def _worker_of(run: FlowRun) -> str:
    return str(run.labels.get("prefect.worker.name", ""))


def _is_left_behind(worker: str) -> bool:
    """Whether a worker was of this host and the `serve` that had it is gone."""
    process = worker.removeprefix(_WORKERS_OF_THIS_HOST)
    if process == worker or not process.isdecimal():
        return False
    # In a container, every `serve` is process 1.
    if int(process) == os.getpid():
        return True
    try:
        return "serve" not in psutil.Process(int(process)).cmdline()
    except psutil.Error:
        return True


def _runs_in_processes() -> set[str]:
    """Ids of the flow runs that processes of this host were started for."""
    environments = (process.info["environ"] or {} for process in psutil.process_iter(["environ"]))
    return {environment.get("PREFECT__FLOW_RUN_ID", "") for environment in environments}


def _deployed(client: SyncPrefectClient, deployment: DeploymentResponse) -> Deployed:
    scheduled = client.get_scheduled_flow_runs_for_deployments([deployment.id], limit=1)
    times = [run.next_scheduled_start_time for run in scheduled]
    return Deployed(
        name=f"{dataset.name}/{deployment.name}",
        schedules=tuple(
            _shown(entry.schedule) for entry in deployment.schedules if entry.active and not deployment.paused
        ),
        next_run=min((time for time in times if time is not None), default=None),
    )


def _shown(schedule: object) -> str:
    if isinstance(schedule, CronSchedule):
        return f"{schedule.cron} {schedule.timezone}"
    return str(schedule)
