"""An evaluation from its config to its report: every model, task and mode in turn, none of it twice."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.evaluate.answering import Asked, InBatches, Writer, answer, table_of
from pipeline.evaluate.config import EvaluateConfig, SamplingConfig
from pipeline.evaluate.dataset_kv import kv_of_traces
from pipeline.evaluate.endpoint import EndpointModel
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.generations import SCHEMA, Asking, Part, kept_askings, refuse_older_responses
from pipeline.evaluate.judgements import Judgements, Judges, judges
from pipeline.evaluate.judging import check_judges
from pipeline.evaluate.local_model import LocalModel, check_place
from pipeline.evaluate.modes import Mode
from pipeline.evaluate.probing import kept_probe, probe_model
from pipeline.evaluate.problems import Problem
from pipeline.evaluate.published import read_traces
from pipeline.evaluate.report import ModelResults, write_report
from pipeline.evaluate.sufficiency import sufficiency_problems
from pipeline.evaluate.tasks import Task, task_of
from pipeline.files.sealed_json import read_sealed
from pipeline.run.store import RunFolder
from pipeline.text.tokens import token_counter

# Raise when the same settings would give other responses; judging has a version of its own.
VERSION = 2
Tell = Callable[[str], None]


def evaluate(config: EvaluateConfig, run: Path, tell: Tell, *, judge_only: bool = False) -> dict[str, Any]:
    """The report's numbers, its files in `run`. What an earlier call has written there is not written again.

    judge_only: no model is asked or loaded, what is there is judged again. Raises EvaluateError: of what
    `check` finds before the first response, of a model when its turn comes.
    """
    check(config, judge_only=judge_only)
    models = [evaluate_model(told, config, run, tell, judge_only=judge_only) for told in config.models]
    return write_report(config, models, measure_dataset(config), run)


def check(config: EvaluateConfig, *, judge_only: bool = False) -> None:
    """Raises EvaluateError for what can be told before a model is loaded: of tasks, data set and folders."""
    if config.dataset:
        next(read_traces(config.dataset.path, 1), None)
    labels = [label_of(told)[0] for told in config.models]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise EvaluateError(
            f"models: {', '.join(twice)} would stand for several of them; name each: LABEL={config.models[0]}"
        )
    for told in () if judge_only else config.models:
        check_place(label_of(told)[1])
    kinds = {problem.kind for task in read_tasks(config).values() for problem in task.problems}
    # The answers of a data set's traces are mathematics.
    check_judges(kinds | ({"math"} if config.dataset and config.models else set()))


def refuse_other_folder(run: RunFolder) -> None:
    """Raises EvaluateError where the folder is that of a build or a training, or of an older evaluation."""
    if run.config_file.exists() and "tasks" not in read_sealed(run.config_file, always=False):
        raise EvaluateError(
            f"{run.root}: is the folder of a build or a training; name another with --run-dir"
        )
    refuse_older_responses(run.root)


def read_tasks(config: EvaluateConfig) -> dict[str, Task]:
    """The problems of each task. Raises EvaluateError."""
    return {task: task_of(task, config.limit) for task in config.tasks}


def measure_dataset(config: EvaluateConfig) -> pa.Table | None:
    """The KV cache that each trace of the config's data set would take, if it names one."""
    if config.dataset is None:
        return None
    traces = read_traces(config.dataset.path, config.limit)
    return kv_of_traces(traces, token_counter(config.dataset.vocabulary))


def evaluate_model(
    told: str, config: EvaluateConfig, run: Path, tell: Tell, *, judge_only: bool = False
) -> ModelResults:
    """One model's responses to all tasks in all modes, and its probe. told: as the config names the model.

    judge_only: the model is neither asked nor loaded. Raises EvaluateError.
    """
    label, place = label_of(told)
    read = read_tasks(config)
    notes = [line for task in read.values() for line in task.told]
    for line in notes:
        tell(line)
    tasks = {name: task.problems for name, task in read.items()}
    about = sufficiency_problems(config.dataset, config.limit) if config.dataset else None
    conditions = about.problems if about else {}
    left_out = about.left_out if about else {}
    if judge_only:
        found = _kept_plans(label, place, config, run, tasks, conditions, tell)
        answered = _answered(found, label, None, config, run, tell)
        probed = kept_probe(found[0].asking.writer, config.probe, run) if config.probe and found else []
        return ModelResults(label, *answered, probed, left_out, notes)
    local = None if is_url(place) else LocalModel(place, tell)
    writer = InBatches(local, config.batch) if local else EndpointModel(place, config.llm, tell)
    modes, why_not = writer.modes(config.modes)
    if why_not:
        tell(f"{label}: {why_not}")
    if config.tasks and not modes:
        raise EvaluateError(f"models {place}: {why_not}; name another with --modes")
    if config.probe and not (local and local.has_blocks):
        raise EvaluateError(
            f"models {place}: a probe needs a model here that writes mementos; leave --probe out"
        )
    told_by, used = config.sampling, writer.resolved(config.sampling)

    def planned(task: str, mode: Mode, problems: Sequence[Problem]) -> _Plan:
        asking = Asking(VERSION, _place_kept(place), writer.digest, task, mode, told_by, used)
        return _Plan(asking, problems)

    plans = [planned(task, mode, problems) for task, problems in tasks.items() for mode in modes]
    # What is shown differs, not what is kept.
    plans += [planned(task, Mode.VANILLA, problems) for task, problems in conditions.items()]
    answered = _answered(plans, label, writer, config, run, tell)
    probed = probe_model(local, config.probe, run, tell) if config.probe and local else []
    return ModelResults(label, *answered, probed, left_out, notes)


@dataclass(frozen=True)
class _Plan:
    """What is asked of one model in one mode about one task."""

    asking: Asking
    problems: Sequence[Problem]


def _kept_plans(
    label: str,
    place: str,
    config: EvaluateConfig,
    run: Path,
    tasks: dict[str, list[Problem]],
    conditions: dict[str, list[Problem]],
    tell: Tell,
) -> list[_Plan]:
    """What was asked in this folder of what the config names. Raises EvaluateError where that is nothing."""
    # Of several the latest: the model has changed since the others were asked.
    kept = {
        (asking.task, asking.mode): asking
        for asking in kept_askings(run)
        if asking.is_told(_place_kept(place), asking.task, config.sampling)
    }
    wanted = [(task, mode, its) for task, its in tasks.items() for mode in config.modes]
    wanted += [(task, Mode.VANILLA, its) for task, its in conditions.items()]
    plans = [_Plan(kept[task, mode], its) for task, mode, its in wanted if (task, mode) in kept]
    if wanted and not plans:
        raise EvaluateError(
            f"models {place}: no responses of it are in {run} with this sampling; ask it without --judge-only"
        )
    for task in {task for task, _, _ in wanted} - {plan.asking.task for plan in plans}:
        tell(f"{label}: has not been asked about {task}")
    return plans


def _answered(
    plans: Sequence[_Plan],
    label: str,
    writer: Writer | None,
    config: EvaluateConfig,
    run: Path,
    tell: Tell,
) -> tuple[pa.Table, SamplingConfig | None, dict[str, dict[str, int]]]:
    """All responses, the sampling they were written by, what is missing, by task and mode and why."""
    tables: dict[int, pa.Table] = {}
    missing: dict[str, dict[str, int]] = {}
    with judges({problem.kind for plan in plans for problem in plan.problems}) as judging:
        # All tasks of a mode together: so an endpoint has always enough to do.
        for mode in dict.fromkeys(plan.asking.mode for plan in plans):
            its = [plan for plan in plans if plan.asking.mode is mode]
            with ExitStack() as stack:
                asked = [_opened(plan, config, run, judging, stack, again=writer is None) for plan in its]
                name = f"{label}, {', '.join(each.task for each in asked)}, {mode}"
                answer(asked, name, writer, mode, config, tell)
                for plan, each in zip(its, asked, strict=True):
                    tables[id(plan)] = table_of(each, label, mode)
                    if each.missing:
                        missing[f"{each.task}, {mode}"] = dict(each.missing)
    table = pa.concat_tables([SCHEMA.empty_table(), *(tables[id(plan)] for plan in plans)])
    return table, plans[0].asking.sampling if plans else None, missing


def _opened(
    plan: _Plan, config: EvaluateConfig, run: Path, judging: Judges, stack: ExitStack, *, again: bool
) -> Asked:
    part = stack.enter_context(Part(run, plan.asking))
    judgements = stack.enter_context(Judgements(run, plan.asking.digest, judging, again=again))
    return Asked(plan.asking.task, plan.problems, config.sampling.samples, part, judgements)


def label_of(told: str) -> tuple[str, str]:
    """How a model is called in tables, and where it is: LABEL=PLACE, or the last folders of a place."""
    label, separator, path = told.partition("=")
    if separator and label and "/" not in label:
        return label, path
    # A model's folder is often called `model`, below one that says which.
    parts = [part for part in _place_kept(told).rstrip("/").split("/") if part]
    return "/".join(parts[-2:]), told


def is_url(place: str) -> bool:
    """Whether a model is behind an endpoint."""
    return place.startswith(("http://", "https://"))


def _place_kept(place: str) -> str:
    """A place as its responses name it: several endpoints by the first, so that more may come to help."""
    urls, separator, name = place.partition("#")
    return urls.partition(",")[0] + separator + name if is_url(place) else place
