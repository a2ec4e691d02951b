"""The trainer trains with masks, or not at all."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.sft.errors import SftError
from pipeline.sft.model import load
from pipeline.sft.stage_plan import Job, stages_of
from pipeline.sft.trainer import MementoTrainer, make_trainer
from tests.attention.models import CONFIGS, MORE, model_of
from tests.attention.test_masks import without_mask
from tests.sft.tiny import ready, tiny

pytestmark = pytest.mark.slow


def trainer_of(run: Path, learner: Any = None, **changes: Any) -> MementoTrainer:
    """Of stage 2, for a model of these tests, or that of the config."""
    config = tiny(full=None, **changes)
    learning = ready(config, run).learning
    (stage,) = stages_of(config)
    job = Job(stage, config, learning, run / "stage", None)
    return make_trainer(job, learner or load(config.model, 0), lambda line: None)


def first_loss(trainer: MementoTrainer) -> torch.Tensor:
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    loss: torch.Tensor = trainer.compute_loss(trainer.model.train(), batch)
    return loss


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_model_that_hands_no_unknown_argument_on_is_trained_with_masks(
    tmp_path: Path, checkpointing: bool
) -> None:
    """Falcon's model takes any argument, and drops those that it does not know."""
    config = type(MORE["falcon"])(**{**MORE["falcon"].to_dict(), "vocab_size": 64})
    model = {"scratch": {"layers": 1, "width": 16}, "gradient_checkpointing": checkpointing}
    trainer = trainer_of(tmp_path, model_of(config), model=model)
    trainer.train()
    assert trainer.state.global_step > 1


def test_a_layer_that_loses_its_mask_ends_the_training(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    first_loss(trainer)
    layer = trainer.model.model.layers[0].self_attn
    layer.register_forward_pre_hook(without_mask, with_kwargs=True, prepend=True)
    with pytest.raises(
        SftError, match="LlamaForCausalLM: 1 of 1 attention layers were computed without masks"
    ):
        trainer.train()


def test_masks_that_no_longer_reach_the_decoder_end_the_training(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    first_loss(trainer)
    decoder = trainer.model.model
    decoder.register_forward_pre_hook(
        lambda _module, args, kwargs: (args, {**kwargs, "visible_until": None}),
        with_kwargs=True,
        prepend=True,
    )
    with pytest.raises(SftError, match="LlamaForCausalLM: was computed without masks"):
        first_loss(trainer)


def test_what_is_put_around_a_model_is_tried_with_it(tmp_path: Path) -> None:
    """Here what mixes tokens with those before them, which no mask can hide."""
    trainer = trainer_of(tmp_path)
    trainer.model.model.embed_tokens.register_forward_hook(
        lambda _module, _ids, found: found + found.roll(1, 1)
    )
    with pytest.raises(SftError, match="LlamaForCausalLM: tokens see what its attention mask hides"):
        trainer.train()


def test_what_is_dropped_in_training_is_no_leak(tmp_path: Path) -> None:
    config = type(CONFIGS["llama"])(
        **CONFIGS["llama"].to_dict() | {"vocab_size": 64, "attention_dropout": 0.5}
    )
    assert first_loss(trainer_of(tmp_path, model_of(config))) > 0


def test_trying_masks_changes_nothing_of_the_training(tmp_path: Path) -> None:
    tried, untried = trainer_of(tmp_path / "a"), trainer_of(tmp_path / "b")
    untried._is_tried = True
    tried.train()
    untried.train()
    losses = [[log["loss"] for log in each.state.log_history if "loss" in log] for each in (tried, untried)]
    assert losses[0] == losses[1]
    assert len(losses[0]) > 2
