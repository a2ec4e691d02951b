"""The training flow: a published data set in, a model that thinks in blocks out, one task per stage."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from pipeline.files.log import Log
from pipeline.files.sealed_json import write_sealed
from pipeline.run.store import RunFolder
from pipeline.sft.card import write_card
from pipeline.sft.config import SftConfig
from pipeline.sft.prepare import Prepared, prepared
from pipeline.sft.report import Report, make_report, table
from pipeline.sft.stage_plan import StageResult, stages_of
from pipeline.sft.train_stage import keep_untrained, run_stage
from pipeline.sft.upload import push


@flow(name="sft", flow_run_name="{sft.name}", persist_result=False)
def sft(sft: SftConfig, run_dir: Path) -> dict[str, Any]:
    """Trains a model on mementos: full attention first, memento attention then.

    What an earlier run on the same folder has done is not done again.

    Args:
        sft: What to train, on which data, how.
        run_dir: Folder for tokens, checkpoints and the model.
    """
    run = RunFolder(run_dir)
    with run.lock():
        log = Log(run.root)
        write_sealed(sft.model_dump(mode="json"), run.config_file)
        ready = read_and_tokenize(sft, run.root)
        keep_untrained(sft, ready.learning, run.root, log.tell)
        start: Path | None = None
        results: dict[str, StageResult] = {}
        for stage in stages_of(sft):
            trained = train_stage.with_options(task_run_name=stage.title)
            results[stage.name] = trained(stage.name, sft, ready, run.root, start)
            start = results[stage.name].folder
        report = make_report(sft, ready, results)
        finish(sft, ready, report, run.root)
        log.tell("done")
        return report.as_json()


@task(name="prepare", task_run_name="read and tokenize", persist_result=False, cache_policy=NO_CACHE)
def read_and_tokenize(sft: SftConfig, run_dir: Path) -> Prepared:
    """Rows as tokens, on disk."""
    return prepared(sft, run_dir, Log(run_dir).tell)


@task(persist_result=False, cache_policy=NO_CACHE)
def train_stage(name: str, sft: SftConfig, ready: Prepared, run_dir: Path, start: Path | None) -> StageResult:
    """The stage of this name, trained from the model in `start`."""
    (stage,) = (stage for stage in stages_of(sft) if stage.name == name)
    return run_stage(stage, sft, ready.learning, run_dir, start, Log(run_dir).tell)


@task(name="finish", task_run_name="write the card", persist_result=False, cache_policy=NO_CACHE)
def finish(sft: SftConfig, ready: Prepared, report: Report, run_dir: Path) -> None:
    """The model's card, its report, and the model on the Hub where one is named."""
    write_card(sft, ready, report, run_dir)
    create_markdown_artifact(
        table(report), key=f"{''.join(c if c.isalnum() else '-' for c in sft.name.lower())}-sft"
    )
    if sft.push_to:
        push(report.model, sft.push_to, private=sft.private, tell=Log(run_dir).tell)
