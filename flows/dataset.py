"""The dataset flow: traces in, a published Memento dataset out, one task per shard and journey."""

import queue
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run

from flows.live_artifact import live_artifact
from flows.prefect_artifacts import show_result
from flows.runners import task_runner
from pipeline.config import BuildConfig
from pipeline.files.sealed_json import write_sealed
from pipeline.ingest import ingest, source_told
from pipeline.llm.serving import ServedModel, Startup, model_name, starting
from pipeline.publish import publish
from pipeline.publish.release import release
from pipeline.publish.release_plan import check_target
from pipeline.run.circuit_breaker import CircuitBreaker, lost_traces
from pipeline.run.repair import repair, repair_records
from pipeline.run.status_reader import StatusReader
from pipeline.run.status_writer import written_status
from pipeline.run.store import RunFolder
from pipeline.run.totals import NothingDone, Totals, read_totals
from pipeline.segmentation.partition.warm_up import warm_up
from pipeline.stages.registry import INGEST, JOURNEYS, STAGES, needs_model
from pipeline.stages.run_shard import allow_start, request_stop, run_stages

_SECONDS_BETWEEN_NEWS = 5.0


def _name_of_run() -> str:
    parameters = flow_run.parameters
    build = parameters["build"]
    name = build["name"] if isinstance(build, dict) else build.name
    folder = Path(parameters["run_dir"]).name
    return name if folder == name else f"{name} → {folder}"


@flow(name="dataset", flow_run_name=_name_of_run, persist_result=False, validate_parameters=True)
def dataset(build: BuildConfig, run_dir: Path) -> dict[str, Any]:
    """Builds a Memento dataset from reasoning traces.

    What an earlier run on the same folder has done and still holds is not done again. A run that leaves no
    trace to publish has failed; what it has made is kept, and what was published before stays.

    Args:
        build: What to build, from which traces, with which model.
        run_dir: Folder for the run's shards, replies and result.
    """
    run = RunFolder(run_dir)
    with run.lock():
        allow_start(run)
        with live_artifact(run, build.name), written_status(run, build) as status:
            totals = _build(build, run, status)
            if not totals.done:
                raise NothingDone(totals)
    if totals.shortfall:
        # The last line of the run in the UI.
        get_run_logger().warning("%s; see %s/failed", totals.shortfall, run.root)
    return totals.as_json()


def _build(build: BuildConfig, run: RunFolder, status: StatusReader) -> Totals:
    started = time.monotonic()
    if build.publish.to:
        # Before weeks of work, not after them.
        check_target(build.publish.to, run.tell)
    repair_records(run)
    repair(run, [INGEST, *(stage.name for stage in STAGES)], run.tell)
    write_sealed(build.model_dump(mode="json"), run.config_file)
    if told := source_told(build):
        run.tell(told)
    run.tell("reading and selecting traces")
    shards = ingest_traces(build, run.root)
    run.remove_shards_from(shards, [stage.name for stage in STAGES])
    status.shards_known(shards)
    with ExitStack() as stack:
        model = None
        if needs_model(run, build, shards):
            model = stack.enter_context(starting(build.llm, run.root / "engine.log", run.tell))
        runner = stack.enter_context(task_runner(build))
        stack.enter_context(_stopping_all(run))
        _process(run, build, shards, runner, model)
    run.tell("publishing")
    used = list(dict.fromkeys(label for stage in STAGES for label in stage.prompts(build)))
    publish_dataset(build, run.root, shards, used)
    totals = read_totals(run, build, shards, seconds=time.monotonic() - started)
    totals.write(run.totals)
    released = release_dataset(build, run.root) if build.publish.to and totals.done else None
    run.tell("writing the report")
    report_dataset(build, run.root)
    show_result(totals, run, released)
    return totals


@contextmanager
def _stopping_all(run: RunFolder) -> Iterator[None]:
    """Ends the stages at work, in whatever thread or process, once one fails or the run is interrupted."""
    try:
        yield
    except BaseException:
        request_stop(run)
        raise


def _process(run: RunFolder, build: BuildConfig, shards: int, runner: Any, model: Startup | None) -> None:
    """Takes every shard through all journeys, `shards_at_once` of them at a time.

    A shard's next journey is submitted when the one before has ended, so that the first error is seen as it
    is, and no thread is spent on waiting. Looks up every second: a Ctrl-C that the system hands to another
    thread reaches the main one only when that one runs.
    """
    ended: queue.SimpleQueue[tuple[int, int, PrefectFuture[Any]]] = queue.SimpleQueue()
    served: ServedModel | None = None

    def submit(shard: int, number: int, after: list[PrefectFuture[Any]]) -> None:
        stages = JOURNEYS[number]
        what = ", ".join(stage.verb for stage in stages)
        named = process_shard.with_options(name=what, task_run_name=f"{what}: shard {shard}")
        parameters = {
            "stages": [stage.name for stage in stages],
            "shard": shard,
            "run_dir": run.root,
            "build": build,
            "served": served if any(stage.asks(build) for stage in stages) else None,
        }
        # The journey before has ended; naming it draws the line between the two in the UI.
        future = runner.submit(named, parameters, wait_for=after)
        future.add_done_callback(lambda done: ended.put((shard, number, done)))

    waiting = iter(range(shards))
    # Splitting needs no model, so it goes on while the engine loads.
    for shard in islice(waiting, build.shards_at_once):
        submit(shard, 0, [])
    # So does compiling what comes after it.
    warm_up(run.tell)
    served = model.ready() if model else None
    run.tell(", ".join(stage.verb for stage in STAGES))
    left = shards
    watches = {stage.name: CircuitBreaker(build.max_failure_rate) for stage in STAGES}
    while left:
        try:
            shard, number, future = ended.get(timeout=1.0)
        except queue.Empty:
            if model:
                model.check()
            continue
        for stage, counts in future.result().items():
            watches[stage].add(counts["in"], Counter(counts["lost"]))
        if number + 1 < len(JOURNEYS):
            submit(shard, number + 1, [future])
            continue
        left -= 1
        for following in islice(waiting, 1):
            submit(following, 0, [])


@task(name="ingest", task_run_name="read and select traces", persist_result=False)
def ingest_traces(build: BuildConfig, run_dir: Path) -> int:
    """Number of trace shards, after reading the sources and choosing among their traces."""
    run = RunFolder(run_dir)
    return ingest(build, run, _Telling(run, "reading and selecting traces", "rows").tell)


class _Telling:
    """Says every few seconds how far a step is."""

    def __init__(self, run: RunFolder, step: str, units: str) -> None:
        self._run = run
        self._step = step
        self._units = units
        self._next = time.monotonic() + _SECONDS_BETWEEN_NEWS

    def tell(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SECONDS_BETWEEN_NEWS
            of = f" of {total:,}" if total else ""
            self._run.tell(f"{self._step}: {done:,}{of} {self._units}")


def _is_worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """Storage errors may pass; anything else that a stage raises would be raised again."""
    return isinstance(state.result(raise_on_failure=False), OSError)


@task(persist_result=False, retries=2, retry_delay_seconds=5, retry_condition_fn=_is_worth_retrying)
def process_shard(
    stages: Sequence[str], shard: int, run_dir: Path, build: BuildConfig, served: ServedModel | None
) -> dict[str, dict[str, Any]]:
    """By stage, counts of what it made of one shard; `lost`: of traces by error."""
    run = RunFolder(run_dir)
    return {
        made.stage: {
            "in": made.rows_in,
            "out": made.rows_out,
            "failed": made.failed,
            "lost": dict(lost_traces(run, made)),
        }
        for made in run_stages(stages, shard, run, build, served)
    }


@task(name="publish", task_run_name="write the published folder", persist_result=False)
def publish_dataset(build: BuildConfig, run_dir: Path, shards: int, prompts: Sequence[str]) -> Path:
    """The published folder."""
    model = model_name(build.llm)
    published = publish(RunFolder(run_dir), range(shards), build, prompts=prompts, models=(model, model))
    return published.folder


@task(name="report", task_run_name="write the report", persist_result=False)
def report_dataset(build: BuildConfig, run_dir: Path) -> Path:
    """The first page of the run's report."""
    # Only here: it brings matplotlib, and a second.
    from pipeline.report.website import write_site

    run = RunFolder(run_dir)
    told = _Telling(run, "writing the report", "pages")
    return write_site(run, build, run.report, told.tell).index


@task(name="release", task_run_name="release on the Hub", persist_result=False)
def release_dataset(build: BuildConfig, run_dir: Path) -> str:
    """Address of the dataset on the Hub, which now is what the published folder is."""
    run, to = RunFolder(run_dir), build.publish.to
    if to is None:
        raise ValueError("publish.to names no dataset to release to")
    done = release(run, to, private=build.publish.private, tag=build.publish.tag, tell=run.tell)
    return done.url
