"""What the Prefect UI shows of a run at work: one artifact per flow run, updated in place."""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.runtime import flow_run

from flows.prefect_artifacts import artifact_key
from pipeline.run.status import Status, read_status
from pipeline.run.status_words import stage_numbers
from pipeline.run.store import RunFolder

LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_UPDATES = 5.0
# A server that takes longer has no time for what only people look at.
_SECONDS_FOR_THE_SERVER = 5.0


@contextmanager
def live_artifact(run: RunFolder, name: str) -> Iterator[None]:
    """Shows RUN/status.json in the UI while the body works, and as it is at the end; inside a flow.

    A server that does not answer is asked again with the next update, and stops nothing. name: the build's.
    """
    before = read_status(run)
    shown = _Artifact(artifact_key(name, "live"), UUID(flow_run.id))
    ended = threading.Event()

    def keep_showing() -> None:
        settings = {"timeout": _SECONDS_FOR_THE_SERVER}
        with get_client(httpx_settings=settings, sync_client=True) as client:
            is_last = has_told = False
            while not is_last:
                is_last = ended.wait(_SECONDS_BETWEEN_UPDATES)
                status = read_status(run)
                # What an earlier run has left is not this one's.
                if status is not None and (before is None or status.started_at != before.started_at):
                    try:
                        shown.update(client, _markdown(status))
                    except Exception as problem:  # whatever the server says: people look at it, no more
                        if not has_told:
                            LOG.warning("the live artifact cannot be updated: %s", problem)
                        has_told = True

    # With the flow's settings, which say where the server is.
    thread = threading.Thread(
        target=copy_context().run, args=(keep_showing,), name="live artifact", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(2 * _SECONDS_FOR_THE_SERVER)


class _Artifact:
    """One artifact of a flow run, created with its first content."""

    def __init__(self, key: str, flow_run_id: UUID) -> None:
        self._key = key
        self._flow_run_id = flow_run_id
        self._id: UUID | None = None
        self._shown = ""

    def update(self, client: SyncPrefectClient, markdown: str) -> None:
        """Shows another content. Raises what the client raises."""
        if markdown == self._shown:
            return
        if self._id is None:
            self._id = client.create_artifact(self._new(markdown)).id
        else:
            # Not `client.update_artifact`, which also has the server keep each content as an event, for days.
            path = {"id": self._id}
            client.request("PATCH", "/artifacts/{id}", path_params=path, json={"data": markdown})
        self._shown = markdown

    def _new(self, markdown: str) -> ArtifactCreate:
        return ArtifactCreate(
            key=self._key,
            type="markdown",
            description="What the run is doing, as of a few seconds ago.",
            data=markdown,
            flow_run_id=self._flow_run_id,
        )


def _markdown(status: Status) -> str:
    lines = [f"**{status.state}**: {_as_it_is(status.error or status.step)}"]
    if status.stages:
        numbers = [stage_numbers(stage) for stage in status.stages]
        lines += ["", _row(["stage", *numbers[0]]), _row(["---", *("---:" for _ in numbers[0])])]
        lines += [
            _row([stage.verb, *told.values()]) for stage, told in zip(status.stages, numbers, strict=True)
        ]
    if status.cost is not None:
        lines += ["", f"cost so far: {status.cost:,.2f}"]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _as_it_is(text: str) -> str:
    """A text in one line, with nothing in it that is Markdown."""
    in_a_line = " ".join(text.split()).replace("`", "'")
    return f"`{in_a_line}`"
