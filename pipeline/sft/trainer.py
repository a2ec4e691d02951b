"""TRL's trainer, told of a stage's settings, of memento attention and of what to say while it works."""

import importlib.util
import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import DistributedType
from transformers import PrinterCallback
from trl.trainer.sft_config import SFTConfig as TrlConfig
from trl.trainer.sft_trainer import SFTTrainer

from pipeline.attention.hook import MaskedAttention, check_nothing_leaks, take_visible_until
from pipeline.attention.layers import UnsupportedModel
from pipeline.attention.tiles import TILE
from pipeline.sft.checkpoints import Checkpoints
from pipeline.sft.collate import IGNORED, Collator, sizes_of_batches, told_sizes
from pipeline.sft.config import StageConfig
from pipeline.sft.errors import SftError
from pipeline.sft.lora import with_adapters
from pipeline.sft.model import precision
from pipeline.sft.progress import FiniteLoss, Progress
from pipeline.sft.selection import FormatRate
from pipeline.sft.stage_plan import Job
from pipeline.sft.tokenized_rows import mean_pack, pack_tokens, packed_examples

_DECAYING = 0.5  # share of the steps in which the learning rate falls


class MementoTrainer(SFTTrainer):
    """TRL's trainer, which sees in every forward that each attention layer is given the masks of its batch.

    Before the first of them, whether the model heeds masks as it is called here: with whatever TRL, adapters,
    gradient checkpointing and sharding have put around it. Raises SftError where it does not.
    """

    masked: MaskedAttention
    model: Any
    _is_tried = False

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **more: Any) -> Any:
        """TRL's loss."""
        try:
            if not self._is_tried:
                self._is_tried = True
                self._try_masks(model, inputs)
            with self.masked.in_every_layer():
                return super().compute_loss(  # type: ignore[no-untyped-call]
                    model, inputs, *arguments, **more
                )
        except UnsupportedModel as error:
            raise SftError(str(error)) from error

    @torch.no_grad()
    def _try_masks(self, model: Any, inputs: dict[str, torch.Tensor]) -> None:
        # Of few tokens: no more than any model has positions for.
        ids = inputs["input_ids"][:, : 2 * TILE]
        others = ids.clone()
        half = ids.shape[1] // 2
        # Of tokens that there are, in another order: the same experts have work.
        others[:, :half] = ids[:, :half].roll(1, -1)

        def second(ids: torch.Tensor, visible_until: torch.Tensor) -> torch.Tensor:
            labels = ids.clone()
            labels[:, : half + 1] = IGNORED
            loss: torch.Tensor = super(MementoTrainer, self).compute_loss(  # type: ignore[no-untyped-call]
                model,
                {
                    "input_ids": ids,
                    "labels": labels,
                    # Of one text in each row: by these alone Transformers would hide several from each other.
                    "position_ids": torch.arange(ids.shape[1], device=ids.device).expand_as(ids),
                    "visible_until": visible_until,
                },
            )
            return loss.float()

        precision = torch.bfloat16 if self.args.bf16 else self.model.dtype
        was_training = model.training
        try:
            model.eval()
            check_nothing_leaks(second, ids, others, self.masked.name, precision)
        finally:
            model.train(was_training)
            self._metrics["eval"].clear()  # they are of no held-out row


def make_trainer(job: Job, model: Any, tell: Callable[[str], None]) -> MementoTrainer:
    """TRL's trainer of a model (from `load`); checkpoints go to the job's folder. Raises SftError."""
    stage, config, learning, folder = job.stage, job.config, job.learning, job.folder
    settings = stage.settings
    try:
        masked = take_visible_until(model)
    except UnsupportedModel as error:
        raise SftError(str(error)) from error
    if config.model.lora:
        model = with_adapters(model, learning.tokenizing.tokens, config.model.lora)
    most = config.data.max_tokens
    examples = learning.examples_of(settings)
    train = packed_examples(
        examples,
        most,
        seed=config.seed if config.data.shuffle else None,
        full_attention_share=settings.full_attention_share,
        restart_share=settings.restart_share,
    )
    held_out = packed_examples(learning.held_out, most, seed=None)
    on_gpu = torch.cuda.is_available()
    chosen = precision(config.model)
    rounds = chosen == "bf16-stochastic"
    if rounds and importlib.util.find_spec("torchao") is None:
        raise SftError("model.precision bf16-stochastic needs torchao: pip install torchao")
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
        bf16=chosen == "bf16",
        optim="adamw_torch_8bit" if rounds else "adamw_torch_fused",
        optim_args="bf16_stochastic_round=True" if rounds else None,
        gradient_checkpointing=config.model.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        eval_strategy="steps",
        eval_steps=math.ceil(steps / settings.evaluations),
        save_strategy="steps",
        save_steps=math.ceil(steps / settings.evaluations),
        logging_steps=max(1, steps // 200),
        # Else a loss that is no number is left out of what is logged.
        logging_nan_inf_filter=False,
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
    if _devices() == 1:
        # Else Transformers would spread batches over all GPUs that it sees, which are more packs than told.
        arguments._n_gpu = min(arguments.n_gpu, 1)
    # FlexAttention takes whole tiles, and compiles its kernels for each size anew.
    sizes = sizes_of_batches(most, TILE) if on_gpu else ()
    if sizes:
        tell(f"{stage.title}: {told_sizes(pack_tokens(train, examples.lengths), sizes)}")
    tokens_per_step = mean_pack(train, examples.lengths) * settings.batch
    trainer = MementoTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=held_out,
        processing_class=learning.tokenizing.tokenizer,
        data_collator=Collator(
            learning.tokenizing.tokens,
            stage.forgetting,
            learning.tokenizing.tokenizer.pad_token_id or 0,
            sizes,
        ),
        callbacks=[
            Progress(stage.title, tokens_per_step, tell),
            FormatRate(job, tell),
            FiniteLoss(stage),
            Checkpoints(folder),
        ],
    )
    trainer.masked = masked
    trainer.remove_callback(PrinterCallback)  # what it prints, `Progress` tells in words
    if rounds:
        _check_rounds_once(trainer.accelerator)
    else:
        _learn_in_full_precision(trainer)
    return trainer


def _check_rounds_once(accelerator: Any) -> None:
    """Raises SftError where several devices would each round the same weights, or not round by chance."""
    if accelerator.distributed_type not in (DistributedType.NO, DistributedType.FSDP):
        raise SftError(
            f"model.precision bf16-stochastic under {accelerator.distributed_type.value}: each device would "
            "round all weights in its own way; take devices.accelerate fsdp2.yaml, or precision bf16"
        )


def _learn_in_full_precision(trainer: SFTTrainer) -> None:
    """What learns is held in fp32, and gradients are added up over devices in fp32, as on a single one.

    TRL rounds the adapters of a model in 4 bits to bf16, where small updates are lost; accelerate's FSDP2
    adds up gradients in the type of the sums.
    """
    model: Any = trainer.model
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is not None and plugin.fsdp_version == 2 and plugin.mixed_precision_policy is not None:
        plugin.mixed_precision_policy = replace(plugin.mixed_precision_policy, reduce_dtype=torch.float32)


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
    """Processes that train together, as their launcher tells each of them."""
    return int(os.environ.get("WORLD_SIZE", "1"))
