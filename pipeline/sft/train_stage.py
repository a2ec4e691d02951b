"""One stage of training: from a model to the best of its checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from peft import load_peft_weights, set_peft_model_state_dict

from pipeline.attention.trained_for import write_trained_for
from pipeline.files.atomic import replacing
from pipeline.files.damage import DamageError, set_aside
from pipeline.files.digests import check_digests, write_digests
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.sft.check import Quality, check
from pipeline.sft.checkpoints import history_of, is_whole, last_whole_checkpoint, saving
from pipeline.sft.config import SftConfig
from pipeline.sft.errors import SftError
from pipeline.sft.launch import train_on_devices
from pipeline.sft.lora import merged, with_adapters
from pipeline.sft.model import load, precision, read_back, saved_type
from pipeline.sft.selection import best_step, evaluations_of, format_counts, step_of_goal
from pipeline.sft.stage_plan import Job, Learning, Stage, StageResult, trained_for
from pipeline.sft.trainer import make_trainer


def run_stage(
    stage: Stage,
    config: SftConfig,
    learning: Learning,
    run: Path,
    start: Path | None,
    tell: Callable[[str], None],
) -> StageResult:
    """Trains a stage in RUN/NAME, from its last whole checkpoint on if there is one; its best is in `model`.

    start: folder of the model that the stage before has chosen. A stage that is done is not done again.
    Checkpoints and models are told by their digests: what is damaged is set aside, with a line, and training
    goes on from the checkpoint before. The best is saved in the type of the model that was trained
    (`saved_type`); quality is that of the saved weights, read back, and the next stage begins with them.
    Raises SftError, of a loss that is no number, too; WriteError.
    """
    folder = run / stage.name
    record = folder / "result.json"
    _check_settings(stage, config, learning, folder)
    if kept := _kept(folder, record, tell):
        tell(f"{stage.title}: done before")
        return kept
    checkpoint = last_whole_checkpoint(folder, tell)
    if checkpoint:
        tell(f"{stage.title}: going on from {checkpoint.name}")
    job = Job(stage, config, learning, folder, start, checkpoint)
    if not _is_at_goal(folder, checkpoint):
        if config.devices:
            train_on_devices(config.devices, job, tell)
        else:
            train(job, tell)
    finished = last_whole_checkpoint(folder, tell)
    assert finished is not None, "a stage ends with a checkpoint"
    history = history_of(finished)
    evaluations = evaluations_of(history, format_counts(folder))
    if stage.settings.goal is None:
        best = _best(evaluations, folder, tell)
        tell(f"{stage.title}: the checkpoint at step {best:,} is the best of {len(evaluations)}")
    elif _is_at_goal(folder, finished):
        best = int(evaluations[-1]["step"])
        tell(f"{stage.title}: reached its goal at step {best:,}, {stage.settings.goal:.1%} right")
    else:
        raise SftError(
            f"{stage.title}: did not reach its goal, {stage.settings.goal:.1%} right responses to held-out "
            f"problems, in {int(evaluations[-1]['step']):,} steps; give it more steps, or a lower goal, in "
            "another run folder (--run-dir)"
        )
    chosen = _at_checkpoint(folder / f"checkpoint-{best}", start, learning, config)
    write_trained_for(chosen.config, trained_for(stage, config, learning))
    _save(chosen.to(saved_type(config.model)), learning.tokenizing.tokenizer, folder / "model")
    del chosen
    saved = read_back(folder / "model")
    quality = check(saved, learning.tokenizing, learning.problems, stage.forgetting, config.check)
    losses = [{"step": log["step"], "loss": log["loss"]} for log in history if "loss" in log]
    told = {"step": best, "losses": losses, "evaluations": evaluations, "quality": quality.as_json()}
    write_sealed(told, record)
    return _result(folder, told)


def keep_untrained(config: SftConfig, learning: Learning, run: Path, tell: Callable[[str], None]) -> None:
    """Writes RUN/untrained/model, what a training from random weights begins with, to be compared with."""
    folder = run / "untrained" / "model"
    if config.model.scratch and not _is_whole_model(folder, tell):
        model = load(config.model, config.seed)
        _save(model.to(saved_type(config.model)), learning.tokenizing.tokenizer, folder)


def train(job: Job, tell: Callable[[str], None]) -> None:
    """All steps of a stage, from its last whole checkpoint on; every one of several devices runs this."""
    trainer = make_trainer(job, load(job.config.model, job.config.seed, job.start), tell)
    with saving(job.folder):
        trainer.train(resume_from_checkpoint=str(job.checkpoint) if job.checkpoint else None)


def _best(evaluations: Sequence[Mapping[str, float]], folder: Path, tell: Callable[[str], None]) -> int:
    """The step of the best checkpoint that is as it was written."""
    left = list(evaluations)
    while left:
        best = best_step(left)
        if is_whole(folder / f"checkpoint-{best}", tell, then="the best of the others is taken"):
            return best
        left = [each for each in left if each["step"] != best]
    raise SftError(f"{folder}: none of its checkpoints is whole; delete it to train the stage anew")


def _is_at_goal(folder: Path, checkpoint: Path | None) -> bool:
    """Whether the stage has ended at its goal with this checkpoint; a kill may come before it is saved."""
    step = step_of_goal(folder)
    return step is not None and checkpoint is not None and checkpoint.name == f"checkpoint-{step}"


def _check_settings(stage: Stage, config: SftConfig, learning: Learning, folder: Path) -> None:
    """Raises SftError where the folder has a stage that was trained otherwise; else notes how it will be."""
    settings: dict[str, Any] = {
        "model": config.model.model_dump(mode="json"),
        # Of "auto", too: no checkpoint of a CPU goes on in a GPU's precision.
        "precision": precision(config.model),
        "stage": stage.settings.model_dump(mode="json"),
        "attention": [stage.forgetting.keep_last_blocks, stage.forgetting.mask_delimiters],
        "check": config.check.model_dump(mode="json"),
        "shuffle": config.data.shuffle,
        "seed": config.seed,
        "rows to learn": learning.train.digest,
        "rows held out": learning.held_out.digest,
    }
    note = folder / "settings.json"
    if not note.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_sealed(settings, note)
        return
    before = read_sealed(
        note, remedy="name another run folder with --run-dir, or delete this one and those of later stages"
    )
    if changed := [name for name, value in settings.items() if before.get(name) != value]:
        raise SftError(
            f"{folder}: was trained otherwise ({', '.join(changed)}); name another run folder with "
            "--run-dir, or delete this one and those of later stages"
        )


def _at_checkpoint(checkpoint: Path, start: Path | None, learning: Learning, config: SftConfig) -> Any:
    """The model as a checkpoint has it, adapters added into its weights, in fp32."""
    lora = config.model.lora
    if not lora:
        return load(config.model, config.seed, checkpoint, whole=True)
    model = load(config.model, config.seed, start, whole=True)
    adapted = with_adapters(model, learning.tokenizing.tokens, lora.model_copy(update={"four_bit": False}))
    set_peft_model_state_dict(adapted, load_peft_weights(str(checkpoint)))
    return merged(adapted)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes the model with its tokenizer, whole or not at all."""
    with saving(folder.parent), replacing(folder) as unfinished:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        write_digests(unfinished)


def _kept(folder: Path, record: Path, tell: Callable[[str], None]) -> StageResult | None:
    """What the stage came to in an earlier run; None where it is not done, or is damaged and set aside."""
    try:
        told = read_sealed(record, always=False)
    except FileNotFoundError:
        return None
    except DamageError as damage:
        set_aside(damage, tell=tell)
        return None
    if _is_whole_model(folder / "model", tell):
        return _result(folder, told)
    record.unlink()
    return None


def _is_whole_model(folder: Path, tell: Callable[[str], None]) -> bool:
    """Whether a model is there as it was written; a damaged one is set aside."""
    try:
        check_digests(folder)
    except DamageError as damage:
        if folder.exists():
            set_aside(damage, folder=folder, tell=tell)
        return False
    return True


def _result(folder: Path, told: Mapping[str, Any]) -> StageResult:
    quality = {name: told["quality"][name] for name in Quality.__dataclass_fields__}
    return StageResult(
        folder / "model", told["step"], told["losses"], told["evaluations"], Quality(**quality)
    )
