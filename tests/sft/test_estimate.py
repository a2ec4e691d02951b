"""Formulas of the estimate against what PyTorch counts and a real run holds."""

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pipeline.sft.config import ModelConfig
from pipeline.sft.estimate import (
    GPU_BYTES,
    Estimate,
    Shape,
    estimate,
    learning_parameters,
    memory,
    shape_of,
    state_bytes,
    training_operations,
    working_bytes,
)
from pipeline.sft.model import load, load_tokenizer, precision
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


class Held(TorchDispatchMode):
    """Counts the bytes of all tensors that are made under it, as long as they live; `most` at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._storages: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id_of(each) for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)}
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if not isinstance(each, torch.Tensor) or id_of(each) in self._storages | given:
                continue
            storage = each.untyped_storage()
            self._storages.add(id_of(each))
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._freed, id_of(each), storage.nbytes())
        return made

    def _freed(self, storage: int, size: int) -> None:
        self._storages.discard(storage)
        self.now -= size


def id_of(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def bytes_of(tensor: torch.Tensor) -> int:
    """Of one in 8 bits those of its parts, since it looks like one of its weights' type."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(bytes_of(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return tensor.numel() * tensor.element_size()


def words_at_once(monkeypatch: pytest.MonkeyPatch, words: int) -> None:
    """Fewer than TRL's 32,768, which are little beside a real model, and more than all of a tiny one."""
    monkeypatch.setattr("trl.trainer.utils._CHUNKED_LOGPROB_CHUNK_SIZE", words)
    monkeypatch.setattr("pipeline.sft.estimate._LOGITS", (4096, words))


# In fp32 and bf16, with and without adapters, and what each setting is called in a config.
SETTINGS: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "bf16": {"precision": "bf16"},
    "bf16-stochastic": {"precision": "bf16-stochastic"},
    "fp32, lora": {"precision": "fp32", "lora": {"rank": 4, "alpha": 8, "dropout": 0.0}},
    "bf16, lora": {"precision": "bf16", "lora": {"rank": 4, "alpha": 8, "dropout": 0.0}},
    "bf16, many words": {"precision": "bf16"},
    "bf16-stochastic, many words": {"precision": "bf16-stochastic"},
    "bf16, lora, many words": {"precision": "bf16", "lora": {"rank": 4, "alpha": 8, "dropout": 0.0}},
    "bf16, many words, untied": {"precision": "bf16"},
}


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("setting", SETTINGS)
def test_memory_is_what_a_real_step_holds(
    setting: str, checkpointing: bool, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words_at_once(monkeypatch, 32)
    torch.compiler.set_stance("force_eager")
    told = {"path": str(base), "gradient_checkpointing": checkpointing, **SETTINGS[setting]}
    stage_told = {"batch": 8, "packs_at_once": 8, "max_steps": 1, "evaluations": 1}
    config = tiny(model=told, full=stage_told, memento=None, check={"problems": 0, "problems_between": 0})
    learning = ready(config, tmp_path).learning
    (stage,) = stages_of(config)
    model = load(config.model, 0)
    if "words" in setting:
        model.resize_token_embeddings(20_000, mean_resizing=False)
    if "untied" in setting:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    shape = shape_of(model)
    trainer = make_trainer(Job(stage, config, learning, tmp_path / "run", None), model, lambda line: None)
    trainer.train()
    torch.compiler.set_stance("default")
    parameters = list(trainer.model.parameters())
    learns = [each for each in parameters if each.requires_grad]
    for each in learns:
        each.grad = torch.zeros_like(each)  # as in every batch of a step but the first
    moments = sum(
        bytes_of(value)
        for state in trainer.optimizer.state.values()
        for name, value in state.items()
        if name in ("exp_avg", "exp_avg_sq")
    )
    chosen = precision(config.model)
    assert learning_parameters(config.model, shape) == sum(each.numel() for each in learns)
    held = sum(map(bytes_of, parameters)) + sum(bytes_of(each.grad) for each in learns) + moments
    # 8 bits: vectors are kept in 16, and each table of 256 numbers counts here.
    assert state_bytes(config.model, shape, chosen) == pytest.approx(
        held, rel=0.01 if "stochastic" in setting else 1e-9
    )
    batch = next(iter(trainer.get_train_dataloader()))
    with Held() as step:
        trainer.training_step(trainer.model_wrapped, batch)
    tokens = batch["input_ids"].numel()
    assert working_bytes(config.model, shape, chosen, tokens) == pytest.approx(step.most, rel=0.15)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of four layers in bf16."""
    config = ModelConfig.model_validate({"scratch": {"layers": 4, "width": 256, "heads": 4, "kv_heads": 2}})
    folder = tmp_path_factory.mktemp("base")
    load(config, 0).to(torch.bfloat16).save_pretrained(folder)
    load_tokenizer(config)[0].save_pretrained(folder)
    return folder


QWEN3_8B = Shape(
    parameters=8_190_735_360,
    weights=7_568_097_280,
    ends=36 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 12_288)),
    layers=36,
    width=4096,
    intermediate=12_288,
    attention_width=4096,
    kv_width=1024,
    vocabulary=151_936,
    embeddings=2,
)


def test_eight_billion_parameters_take_what_they_are_known_to_take() -> None:
    """16 bytes a parameter, 6 in bf16-stochastic, 2 and the adapters with lora; a pack of 32K tokens."""
    full, rounded, adapted = (
        ModelConfig.model_validate({"path": "a", **told})
        for told in ({"precision": "bf16"}, {"precision": "bf16-stochastic"}, {"lora": {"rank": 32}})
    )
    assert state_bytes(full, QWEN3_8B, "bf16") == 16 * QWEN3_8B.parameters
    assert state_bytes(rounded, QWEN3_8B, "bf16-stochastic") / QWEN3_8B.parameters == pytest.approx(
        6, abs=0.05
    )
    assert 2 < state_bytes(adapted, QWEN3_8B, "bf16") / QWEN3_8B.parameters < 2.2
    assert memory(full, QWEN3_8B, 32_768, 1) > 2 * GPU_BYTES
    assert memory(full, QWEN3_8B, 32_768, 8) < GPU_BYTES
    assert memory(adapted, QWEN3_8B, 32_768, 1) < memory(rounded, QWEN3_8B, 32_768, 1) < GPU_BYTES


def test_a_dry_run_tells_of_a_gpu_also_where_there_is_none(tmp_path: Path) -> None:
    made = estimate(tiny(), ready(tiny(), tmp_path).learning)
    assert made.memory[1] == memory(
        tiny(model={**tiny().model.model_dump(), "precision": "bf16"}).model,
        shape_of(load(tiny().model, 0)),
        2 * 80,
        1,
    )
    assert made.memory[8] < made.memory[1]


def test_what_does_not_fit_one_gpu_comes_with_what_would() -> None:
    ways = {"model.precision=bf16-stochastic": 60e9, "model.lora.rank=32": 30e9}
    large = Estimate(0, [], {1: 150e9, 8: 90e9, 32: 30e9}, ways)
    assert large.ways_to_fit() == {"devices.count=32": 30e9, **ways}
    assert Estimate(0, [], {1: 70e9, 8: 20e9, 32: 9e9}, ways).ways_to_fit() == {}


def test_weights_that_are_shared_are_counted_once(base: Path, tmp_path: Path) -> None:
    config = tiny(model={"path": str(base)})
    made = estimate(config, ready(config, tmp_path).learning)
    assert made.parameters == sum(each.numel() for each in load(config.model, 0).parameters())


def test_forgetting_computes_less(tmp_path: Path) -> None:
    config = tiny()
    full, memento = estimate(config, ready(config, tmp_path).learning).stages
    assert memento.operations < full.operations


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
