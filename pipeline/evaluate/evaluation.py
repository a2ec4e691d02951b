"""An evaluation from its config to its report: every model, task and mode in turn, none of it twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.evaluate.answering import Writer, answer
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.dataset_kv import kv_of_traces
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.generations import SCHEMA, Part
from pipeline.evaluate.judging import check_judges, judges
from pipeline.evaluate.local_model import LocalModel, check_place
from pipeline.evaluate.modes import Mode
from pipeline.evaluate.probe import ProbeResult
from pipeline.evaluate.probing import probe_model
from pipeline.evaluate.published import read_traces
from pipeline.evaluate.report import ModelResults, write_report
from pipeline.evaluate.sufficiency import sufficiency_problems
from pipeline.evaluate.tasks import Task, task_of
from pipeline.files.atomic import value_digest
from pipeline.files.sealed_json import read_sealed
from pipeline.run.store import RunFolder
from pipeline.text.tokens import token_counter

# Raise when the same settings would give other responses or other judgements.
VERSION = 1
Tell = Callable[[str], None]


def evaluate(config: EvaluateConfig, run: Path, tell: Tell) -> dict[str, Any]:
    """The report's numbers, its files in `run`. What an earlier call has written there is not written again.

    Raises EvaluateError: of what `check` finds before the first response, of a model when its turn comes.
    """
    check(config)
    models = [evaluate_model(told, config, run, tell) for told in config.models]
    return write_report(config, models, measure_dataset(config), run)


def check(config: EvaluateConfig) -> None:
    """Raises EvaluateError for what can be told before a model is loaded: of tasks, data set and folders."""
    if config.dataset:
        next(read_traces(config.dataset.path, 1), None)
    labels = [label_of(told)[0] for told in config.models]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise EvaluateError(
            f"models: {', '.join(twice)} would stand for several of them; name each: LABEL={config.models[0]}"
        )
    for told in config.models:
        check_place(label_of(told)[1])
    kinds = {problem.kind for task in read_tasks(config).values() for problem in task.problems}
    # The answers of a data set's traces are mathematics.
    check_judges(kinds | ({"math"} if config.dataset and config.models else set()))


def refuse_other_folder(run: RunFolder) -> None:
    """Raises EvaluateError where the folder is that of a build or a training."""
    if run.config_file.exists() and "tasks" not in read_sealed(run.config_file, always=False):
        raise EvaluateError(
            f"{run.root}: is the folder of a build or a training; name another with --run-dir"
        )


def read_tasks(config: EvaluateConfig) -> dict[str, Task]:
    """The problems of each task. Raises EvaluateError."""
    return {task: task_of(task, config.limit) for task in config.tasks}


def measure_dataset(config: EvaluateConfig) -> pa.Table | None:
    """The KV cache that each trace of the config's data set would take, if it names one."""
    if config.dataset is None:
        return None
    traces = read_traces(config.dataset.path, config.limit)
    return kv_of_traces(traces, token_counter(config.dataset.vocabulary))


def evaluate_model(told: str, config: EvaluateConfig, run: Path, tell: Tell) -> ModelResults:
    """One model's responses to all tasks in all modes, and its probe. told: as the config names the model."""
    label, path = label_of(told)
    model = _writer(path, tell)
    modes, why_not = model.modes(config.modes)
    if why_not:
        tell(f"{label}: {why_not}")
    if config.tasks and not modes:
        raise EvaluateError(f"models {path}: {why_not}; name another with --modes")
    if config.probe and not (isinstance(model, LocalModel) and model.has_blocks):
        raise EvaluateError(
            f"models {path}: a probe needs a model here that writes mementos; leave --probe out"
        )
    tasks = read_tasks(config)
    notes = [line for task in tasks.values() for line in task.told]
    for line in notes:
        tell(line)
    asked = [(name, mode, task.problems) for name, task in tasks.items() for mode in modes]
    left_out: dict[str, int] = {}
    if config.dataset:
        # What is shown differs, not what is kept.
        about = sufficiency_problems(config.dataset, config.limit)
        asked += [(task, Mode.VANILLA, its) for task, its in about.problems.items()]
        left_out = about.left_out
    tables: list[pa.Table] = []
    kinds = {problem.kind for _, _, problems in asked for problem in problems}
    with judges(kinds) as judging:
        for task, mode, problems in asked:
            part = Part(run, _digest(model, label, task, mode, config))
            tables.append(answer(part, label, model, task, problems, mode, config, judging, tell))
    probed: list[ProbeResult] = []
    if config.probe:
        probed = probe_model(model, config.probe, run, tell)
    return ModelResults(label, pa.concat_tables([SCHEMA.empty_table(), *tables]), probed, left_out, notes)


def label_of(told: str) -> tuple[str, str]:
    """How a model is called in tables, and where it is: LABEL=PLACE, or the last folders of a place."""
    label, separator, path = told.partition("=")
    if separator and label and "/" not in label:
        return label, path
    # A model's folder is often called `model`, below one that says which.
    parts = [part for part in told.rstrip("/").split("/") if part]
    return "/".join(parts[-2:]), told


def _writer(path: str, tell: Tell) -> Any:
    if path.startswith(("http://", "https://")):
        from pipeline.evaluate.endpoint import EndpointModel

        return EndpointModel(path)
    return LocalModel(path, tell)


def _digest(model: Writer, label: str, task: str, mode: Mode, config: EvaluateConfig) -> str:
    # Each sample has a seed of its own: more of them leave the others as they are.
    sampling = config.sampling.model_dump(mode="json", exclude={"samples"})
    return value_digest([VERSION, model.digest, label, task, str(mode), sampling])
