"""The evaluation flow: models and benchmarks in, responses and a table out, one task per model."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.evaluation import (
    check,
    evaluate_model,
    label_of,
    measure_dataset,
    refuse_other_folder,
)
from pipeline.evaluate.report import ModelResults, write_report
from pipeline.files.log import Log
from pipeline.files.sealed_json import write_sealed
from pipeline.run.store import RunFolder


@flow(name="evaluate", flow_run_name="{evaluation.name}", persist_result=False)
def evaluate(evaluation: EvaluateConfig, run_dir: Path, judge_only: bool = False) -> dict[str, Any]:
    """Asks models the problems of tasks, in several modes, and compares them.

    What an earlier run on the same folder has written is not written again.

    Args:
        evaluation: Which models, tasks and modes, and how responses are written.
        run_dir: Folder for responses, tables and figures.
        judge_only: Whether responses that are there are judged again, and no model is asked.
    """
    run = RunFolder(run_dir)
    with run.lock():
        refuse_other_folder(run)
        write_sealed(evaluation.model_dump(mode="json"), run.config_file)
        check(evaluation, judge_only=judge_only)
        models = [
            ask_model.with_options(task_run_name=label_of(model)[0])(model, evaluation, run.root, judge_only)
            for model in evaluation.models
        ]
        report = write_report(evaluation, models, measure_dataset(evaluation), run.root)
        key = "".join(c if c.isalnum() else "-" for c in evaluation.name.lower())
        create_markdown_artifact((run.root / "results.md").read_text("utf-8"), key=f"{key}-evaluation")
        Log(run.root).tell("done")
        return report


@task(persist_result=False, cache_policy=NO_CACHE)
def ask_model(model: str, evaluation: EvaluateConfig, run_dir: Path, judge_only: bool) -> ModelResults:
    """All responses of a model, those that were there before, too, and its probe."""
    return evaluate_model(model, evaluation, run_dir, Log(run_dir).tell, judge_only=judge_only)
