"""One stage of training: from a model to the best of its checkpoints."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
from transformers import PrinterCallback
from transformers.trainer_utils import get_last_checkpoint
from trl.trainer.sft_config import SFTConfig as TrlConfig
from trl.trainer.sft_trainer import SFTTrainer

from pipeline.attention.hook import take_visible_until
from pipeline.attention.layers import UnsupportedModel
from pipeline.attention.tiles import TILE
from pipeline.files.atomic import replacing, write_json
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.sft.check import Quality, check
from pipeline.sft.collate import Collator
from pipeline.sft.config import SftConfig, StageConfig
from pipeline.sft.errors import SftError
from pipeline.sft.lora import merged, with_adapters
from pipeline.sft.model import Learner, load, precision
from pipeline.sft.progress import Progress
from pipeline.sft.selection import FormatRate, best_step, evaluations_of, format_rates
from pipeline.sft.stage_plan import Learning, Stage, StageResult
from pipeline.sft.tokenized_rows import mean_pack, packed_examples

_STATE = "trainer_state.json"
_DECAYING = 0.3  # share of the steps in which the learning rate falls


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
    """
    folder = run / stage.name
    record = folder / "result.json"
    _check_settings(stage, config, learning, folder)
    if record.exists():
        tell(f"{stage.title}: done before")
        return _read(folder, record)
    learner = load(config.model, config.seed, start)
    trainer = _trainer(stage, config, learning, folder, learner, tell)
    checkpoint = _last_whole_checkpoint(folder)
    if checkpoint:
        tell(f"{stage.title}: going on from {Path(checkpoint).name}")
    trainer.train(resume_from_checkpoint=checkpoint)
    history = trainer.state.log_history
    evaluations = evaluations_of(history, format_rates(folder))
    best = best_step(evaluations)
    tell(f"{stage.title}: the checkpoint at step {best:,} is the best of {len(evaluations)}")
    chosen = _at_checkpoint(trainer.model, folder / f"checkpoint-{best}", config)
    quality = check(chosen, learning.tokenizing, learning.problems, stage.forgetting, config.check)
    _save(merged(chosen), learning.tokenizing.tokenizer, folder / "model")
    losses = [{"step": log["step"], "loss": log["loss"]} for log in history if "loss" in log]
    write_json(
        {
            "step": best,
            "losses": losses,
            "evaluations": evaluations,
            "quality": quality.as_json(),
        },
        record,
    )
    return _read(folder, record)


def _check_settings(stage: Stage, config: SftConfig, learning: Learning, folder: Path) -> None:
    """Raises SftError where the folder has a stage that was trained otherwise; else notes how it will be."""
    settings: dict[str, Any] = {
        "model": config.model.model_dump(mode="json"),
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
    before = read_sealed(note)
    if changed := [name for name, value in settings.items() if before.get(name) != value]:
        raise SftError(
            f"{folder}: was trained otherwise ({', '.join(changed)}); name another run folder with "
            "--run-dir, or delete this one and those of later stages"
        )


def _trainer(
    stage: Stage,
    config: SftConfig,
    learning: Learning,
    folder: Path,
    learner: Learner,
    tell: Callable[[str], None],
) -> SFTTrainer:
    settings, model = stage.settings, learner.model
    try:
        take_visible_until(model)
    except UnsupportedModel as error:
        raise SftError(str(error)) from error
    if config.model.lora:
        model = with_adapters(model, learning.tokenizing.tokens, config.model.lora)
    most = config.data.max_tokens
    train = packed_examples(
        learning.train,
        most,
        seed=config.seed if config.data.shuffle else None,
        full_attention_share=settings.full_attention_share,
    )
    held_out = packed_examples(learning.held_out, most, seed=None)
    on_gpu = torch.cuda.is_available()
    steps = number_of_steps(settings, len(train))
    arguments = TrlConfig(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=settings.packs_at_once,
        per_device_eval_batch_size=settings.packs_at_once,
        gradient_accumulation_steps=_accumulated(settings),
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        lr_scheduler_kwargs=_decay(settings, steps),
        adam_beta2=settings.adam_beta2,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        bf16=on_gpu and precision(config.model) == torch.bfloat16,
        gradient_checkpointing=config.model.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        eval_strategy="steps",
        eval_steps=math.ceil(steps / settings.evaluations),
        save_strategy="steps",
        save_steps=math.ceil(steps / settings.evaluations),
        logging_steps=max(1, steps // 200),
        seed=config.seed,
        data_seed=config.seed,
        report_to="none",
        disable_tqdm=True,
        use_cpu=not on_gpu,
        max_length=None,
        packing=False,
        padding_free=False,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        train_sampling_strategy="random" if config.data.shuffle else "sequential",
    )
    tokens_per_step = mean_pack(train, learning.train.lengths) * settings.batch
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=held_out,
        processing_class=learning.tokenizing.tokenizer,
        data_collator=Collator(
            learning.tokenizing.tokens,
            stage.forgetting,
            learning.tokenizing.tokenizer.pad_token_id or 0,
            TILE if on_gpu else 1,
        ),
        callbacks=[
            Progress(stage.title, tokens_per_step, tell),
            FormatRate(stage, config, learning, folder, tell),
        ],
    )
    trainer.remove_callback(PrinterCallback)  # what it prints, `Progress` tells in words
    return trainer


def _decay(settings: StageConfig, steps: int) -> dict[str, int] | None:
    if settings.schedule != "warmup_stable_decay":
        return None
    return {"num_decay_steps": math.ceil(_DECAYING * steps)}


def number_of_steps(settings: StageConfig, packs: int) -> int:
    """Optimizer steps of a stage."""
    return settings.max_steps or math.ceil(math.ceil(packs / settings.batch) * settings.epochs)


def _accumulated(settings: StageConfig) -> int:
    """Batches that a device adds up in a step, so that all devices together make `batch` packs."""
    at_once = settings.packs_at_once * _devices()
    if settings.batch % at_once:
        raise SftError(
            f"batch {settings.batch} is no multiple of packs_at_once {settings.packs_at_once} × {_devices()} "
            "devices: change one of them"
        )
    return settings.batch // at_once


def _devices() -> int:
    import os

    return int(os.environ.get("WORLD_SIZE", "1"))


def _last_whole_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint; those that a kill has left without their last file are removed."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / _STATE).exists():
            shutil.rmtree(checkpoint)
    if not folder.is_dir():
        return None
    found: str | None = get_last_checkpoint(str(folder))  # type: ignore[no-untyped-call]
    return found


def _at_checkpoint(model: Any, checkpoint: Path, config: SftConfig) -> Any:
    """A trained model with the weights of one of its checkpoints."""
    if not isinstance(model, PeftModel):
        return load(config.model, config.seed, checkpoint).model
    set_peft_model_state_dict(model, load_peft_weights(str(checkpoint)))
    return model


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes the model with its tokenizer, whole or not at all."""
    shutil.rmtree(folder, ignore_errors=True)
    with replacing(folder) as unfinished:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)


def _read(folder: Path, record: Path) -> StageResult:
    found = json.loads(record.read_text())
    quality = {name: found["quality"][name] for name in Quality.__dataclass_fields__}
    return StageResult(
        folder / "model", found["step"], found["losses"], found["evaluations"], Quality(**quality)
    )
