"""An evaluation from its config to its report: every model, task and mode in turn, none of it twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.evaluate.answering import Writer, answer
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.dataset_kv import kv_of_traces
from pipeline.evaluate.generations import SCHEMA, Part
from pipeline.evaluate.judging import judges
from pipeline.evaluate.local_model import LocalModel, check_place
from pipeline.evaluate.modes import Mode
from pipeline.evaluate.probe import ProbeResult
from pipeline.evaluate.probing import probe_model
from pipeline.evaluate.problems import Problem
from pipeline.evaluate.published import read_traces
from pipeline.evaluate.report import ModelResults, write_report
from pipeline.evaluate.sufficiency import sufficiency_problems
from pipeline.evaluate.tasks import problems_of
from pipeline.files.atomic import value_digest
from pipeline.text.tokens import token_counter

# Raise when the same settings would give other responses or other judgements.
VERSION = 1
Tell = Callable[[str], None]


def evaluate(config: EvaluateConfig, run: Path, tell: Tell) -> dict[str, Any]:
    """The report's numbers, its files in `run`. What an earlier call has written there is not written again.

    Raises EvaluateError before the first response where a model, a task or a judge cannot be used.
    """
    check(config)
    models = [evaluate_model(told, config, run, tell) for told in config.models]
    return write_report(config, models, measure_dataset(config), run)


def check(config: EvaluateConfig) -> None:
    """Raises EvaluateError for what can be told before a model is loaded: of tasks, data set and folders."""
    read_tasks(config)
    if config.dataset:
        next(read_traces(config.dataset.path, 1), None)
    for told in config.models:
        check_place(label_of(told)[1])


def read_tasks(config: EvaluateConfig) -> dict[str, list[Problem]]:
    """The problems of each task. Raises EvaluateError."""
    return {task: problems_of(task, config.limit) for task in config.tasks}


def measure_dataset(config: EvaluateConfig) -> pa.Table | None:
    """The KV cache that each trace of the config's data set would take, if it names one."""
    if config.dataset is None:
        return None
    traces = read_traces(config.dataset.path, config.limit)
    return kv_of_traces(traces, token_counter(config.dataset.vocabulary))


def evaluate_model(told: str, config: EvaluateConfig, run: Path, tell: Tell) -> ModelResults:
    """One model's responses to all tasks in all modes, and its probe. told: as the config names the model."""
    label, path = label_of(told)
    model = _writer(path)
    for mode in config.modes if config.tasks else ():
        model.check_mode(mode)
    asked = [(task, mode, its) for task, its in read_tasks(config).items() for mode in config.modes]
    if config.dataset:
        # What is shown differs, not what is kept.
        conditions = sufficiency_problems(config.dataset, config.limit).problems
        asked += [(task, Mode.VANILLA, its) for task, its in conditions.items()]
    tables: list[pa.Table] = []
    kinds = {problem.kind for _, _, problems in asked for problem in problems}
    with judges(kinds) as judging:
        for task, mode, problems in asked:
            part = Part(run, _digest(model, label, task, mode, config))
            tables.append(answer(part, label, model, task, problems, mode, config, judging, tell))
    probed: list[ProbeResult] = []
    if config.probe and isinstance(model, LocalModel) and model.has_blocks:
        probed = probe_model(model, config.probe, run, tell)
    return ModelResults(label, pa.concat_tables([SCHEMA.empty_table(), *tables]), probed)


def label_of(told: str) -> tuple[str, str]:
    """How a model is called in tables, and where it is: LABEL=PLACE, or the last folders of a place."""
    label, separator, path = told.partition("=")
    if separator and label and "/" not in label:
        return label, path
    # A model's folder is often called `model`, below one that says which.
    parts = [part for part in told.rstrip("/").split("/") if part]
    return "/".join(parts[-2:]), told


def _writer(path: str) -> Any:
    if path.startswith(("http://", "https://")):
        from pipeline.evaluate.endpoint import EndpointModel

        return EndpointModel(path)
    return LocalModel(path)


def _digest(model: Writer, label: str, task: str, mode: Mode, config: EvaluateConfig) -> str:
    return value_digest(
        [VERSION, model.digest, label, task, str(mode), config.sampling.model_dump(mode="json")]
    )
