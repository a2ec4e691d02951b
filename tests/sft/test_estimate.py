"""Formulas of the estimate against what PyTorch counts and a real run holds."""

from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from torch.utils.flop_counter import FlopCounterMode

from pipeline.sft.config import LoraConfig
from pipeline.sft.estimate import estimate, memory, shape_of, training_operations
from pipeline.sft.model import load
from pipeline.sft.stage_plan import Job, stages_of
from pipeline.sft.tokenized_rows import Examples
from pipeline.sft.train_stage import run_stage
from pipeline.sft.trainer import make_trainer
from tests.attention.models import CONFIGS, VOCABULARY, model_of
from tests.sft.tiny import ready, tiny


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_operations_are_those_that_pytorch_counts(name: str) -> None:
    # Eager attention multiplies matrices, which PyTorch counts; of SDPA on a CPU it counts nothing.
    model = model_of(CONFIGS[name], "eager")
    rows, n = 2, 48
    ids = torch.randint(0, VOCABULARY, (rows, n))
    counter = FlopCounterMode(display=False)
    with counter:
        model(input_ids=ids, labels=ids).loss.backward()
    # It computes all pairs, the invisible ones, too.
    expected = training_operations(shape_of(model), rows * n, rows * n * n, checkpointing=False)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.01)


def test_parameters_and_state_are_those_of_a_real_run(tmp_path) -> None:
    config = tiny(full=None)
    prepared = ready(config, tmp_path)
    made = estimate(config, prepared.learning)
    (stage,) = stages_of(config)
    job = Job(stage, config, prepared.learning, tmp_path / "run", None)
    trainer = make_trainer(job, load(config.model, 0), lambda line: None)
    trainer.train()
    assert made.stages[0].steps == trainer.state.global_step
    parameters = list(trainer.model.parameters())
    assert made.parameters == sum(each.numel() for each in parameters)
    moments = sum(
        value.numel() * value.element_size()
        for state in trainer.optimizer.state.values()
        for name, value in state.items()
        if name in ("exp_avg", "exp_avg_sq")
    )
    held = sum(each.numel() * each.element_size() for each in parameters)
    state = 2 * held + moments  # weights, gradients, moments
    assert memory(config, shape_of(trainer.model), 0, 1) == state
    assert memory(config, shape_of(trainer.model), 0, 8) == state / 8


def test_adapters_need_less_and_forgetting_computes_less(tmp_path) -> None:
    config = tiny()
    prepared = ready(config, tmp_path)
    full, memento = estimate(config, prepared.learning).stages
    assert memento.operations < full.operations
    with_lora = config.model_copy(
        update={"model": config.model.model_copy(update={"lora": LoraConfig(rank=1)})}
    )
    shape = shape_of(load(config.model, 0))
    assert memory(with_lora, shape, 0, 1) < memory(config, shape, 0, 1)


def test_a_stage_has_the_steps_that_were_estimated(tmp_path) -> None:
    config = tiny(memento=None)
    learning = ready(config, tmp_path).learning
    (stage,) = stages_of(config)
    result = run_stage(stage, config, learning, tmp_path, None, lambda line: None)
    assert result.losses[-1]["step"] == estimate(config, learning).stages[0].steps


def test_the_block_of_a_prompt_is_counted_as_seen(tmp_path) -> None:
    config = tiny()
    learning = ready(config, tmp_path).learning
    tokens = learning.tokenizing.tokens
    ids = [tokens.block_start, *[20] * 30, *tokens[1:], *[20] * 30]

    def operations(prompt: int) -> list[float]:
        table = Dataset.from_dict({"ids": [ids], "prompt": [prompt], "length": [len(ids)]})
        made = estimate(config, replace(learning, train=Examples(table, {}, "")))
        return [stage.operations for stage in made.stages]

    full, memento = operations(prompt=len(ids) - 5)
    assert full == memento
    full, memento = operations(prompt=0)
    assert full > memento
