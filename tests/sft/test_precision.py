"""In every precision on offer weights move as far as the rate says, also those that bf16 would hold fast."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from pydantic import ValidationError
from transformers import TrainerCallback
from trl import SFTTrainer

from pipeline.sft.config import ModelConfig
from pipeline.sft.errors import SftError
from pipeline.sft.model import Precision, load, load_tokenizer, precision, weights_type
from pipeline.sft.stage_plan import Job, stages_of
from pipeline.sft.trainer import _check_rounds_once, _learn_in_full_precision, make_trainer
from tests.sft.tiny import ready, tiny

pytestmark = pytest.mark.slow
# The paper's recipe, a tenth and about a hundredth of it.
RATES = (8e-5, 8e-6, 1e-6)
WEIGHTS = (0.02, 0.2, 1.0)
STEPS = 20
# Wide enough that the few numbers which are rounded up by chance are many: 0.5 % at 1.0 and 1e-6.
WIDE = {"scratch": {"layers": 1, "width": 128, "heads": 2, "kv_heads": 1}}
ADAPTED = {"lora": {"rank": 8, "alpha": 16, "dropout": 0.0}}


@pytest.fixture(autouse=True)
def uncompiled() -> Iterator[None]:
    """torchao compiles its step for each shape, which takes a minute; uncompiled it computes the same."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in bf16, as most are published."""
    config = ModelConfig.model_validate(WIDE)
    folder = tmp_path_factory.mktemp("base")
    load(config, 0).to(torch.bfloat16).save_pretrained(folder)
    load_tokenizer(config)[0].save_pretrained(folder)
    return folder


def trainer_of(run: Path, model: dict[str, Any], rate: float = 8e-5, **stage: Any) -> SFTTrainer:
    told = {"batch": 4, "packs_at_once": 4, "learning_rate": rate, "max_steps": 3, **stage}
    config = tiny(model=model, full=told, memento=None)
    learning = ready(config, run).learning
    (only,) = stages_of(config)
    return make_trainer(
        Job(only, config, learning, run / "stage", None), load(config.model, 0), lambda line: None
    )


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("chosen", [*get_args(Precision), "lora"])
def test_weights_move_as_far_as_the_rate_says(chosen: str, rate: float, base: Path, tmp_path: Path) -> None:
    model = WIDE | {"precision": chosen}
    if chosen == "lora":
        model = {"path": str(base), "precision": "bf16", **ADAPTED}
    trainer = trainer_of(tmp_path, model, rate)
    optimizer = trainer.create_optimizer()
    torch.manual_seed(0)
    learning = [each for each in trainer.model.parameters() if each.requires_grad]
    moved: dict[float, list[torch.Tensor]] = {weight: [] for weight in WEIGHTS}
    # Each parameter has all three sizes, in stretches that are equally long.
    for parameter in learning:
        parts = parameter.data.view(-1).tensor_split(len(WEIGHTS))
        for part, weight in zip(parts, WEIGHTS, strict=True):
            part.fill_(weight)
    before = [parameter.detach().double().clone() for parameter in learning]
    for _ in range(STEPS):
        for parameter in learning:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    for parameter, start in zip(learning, before, strict=True):
        parts = (start - parameter.detach().double()).view(-1).tensor_split(len(WEIGHTS))
        for part, weight in zip(parts, WEIGHTS, strict=True):
            moved[weight].append(part)
    for weight, parts in moved.items():
        steps = torch.cat(parts).mean().item() / rate
        # Rounded stochastically, of a million numbers at 1.0 and 1e-6 some hundreds have moved.
        assert steps == pytest.approx(STEPS, rel=0.15), f"{weight} at {rate}: {steps:.2f} steps of {STEPS}"


@pytest.mark.parametrize("chosen", [*get_args(Precision), "lora"])
def test_what_learns_is_in_fp32_or_rounded_stochastically(chosen: str, base: Path, tmp_path: Path) -> None:
    model = WIDE | {"precision": chosen}
    if chosen == "lora":
        model = {"path": str(base), "precision": "bf16", **ADAPTED}
    trainer = trainer_of(tmp_path, model)
    trainer.train()
    optimizer = trainer.optimizer.optimizer
    types: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    for parameter in trainer.model.parameters():
        types[parameter.requires_grad].add(parameter.dtype)
    if chosen == "bf16-stochastic":
        assert optimizer.bf16_stochastic_round
        assert types[True] == {torch.bfloat16}
        return
    moments = {state["exp_avg_sq"].dtype for state in optimizer.state.values()}
    assert moments == types[True] == {torch.float32}
    if chosen == "lora":
        assert types[False] == {torch.bfloat16}
        names = [name for name, each in trainer.model.named_parameters() if each.requires_grad]
        assert any("trainable_tokens" in name for name in names), "the special tokens' rows learn, too"


def test_adapters_that_trl_rounds_are_in_fp32_again(base: Path, tmp_path: Path) -> None:
    """As of a model in 4 bits, which TRL knows by this attribute."""
    trainer = trainer_of(tmp_path, {"path": str(base), "precision": "bf16", **ADAPTED})
    for parameter in trainer.model.parameters():
        parameter.data = parameter.data.bfloat16()
    _learn_in_full_precision(trainer)
    assert {p.dtype for p in trainer.model.parameters() if p.requires_grad} == {torch.float32}


def test_devices_add_up_gradients_in_fp32(base: Path, tmp_path: Path) -> None:
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2)
    plugin.set_mixed_precision("bf16")
    trainer: Any = SimpleNamespace(
        model=torch.nn.Linear(1, 1), accelerator=SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin))
    )
    _learn_in_full_precision(trainer)
    policy = plugin.mixed_precision_policy
    assert (policy.param_dtype, policy.reduce_dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize("kind", [DistributedType.MULTI_GPU, DistributedType.DEEPSPEED])
def test_weights_are_not_rounded_by_several_devices_each(kind: DistributedType) -> None:
    with pytest.raises(SftError, match=r"precision bf16-stochastic under .*take devices\.accelerate fsdp2"):
        _check_rounds_once(SimpleNamespace(distributed_type=kind))


def test_adapters_are_not_rounded_stochastically() -> None:
    with pytest.raises(ValidationError, match="with lora take bf16"):
        ModelConfig.model_validate({"path": "a", "precision": "bf16-stochastic", "lora": {}})


def test_auto_is_bf16_on_a_gpu_and_never_weights_in_bf16() -> None:
    config = ModelConfig.model_validate(WIDE)
    assert precision(config, on_gpu=True) == "bf16"
    assert precision(config, on_gpu=False) == "fp32"
    assert weights_type(config, "bf16") == torch.float32


class Stop(TrainerCallback):
    """Ends a training at its first checkpoint."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = True


def test_rounding_goes_on_from_a_checkpoint_as_if_never_stopped(tmp_path: Path) -> None:
    def trainer(run: str) -> SFTTrainer:
        told = WIDE | {"precision": "bf16-stochastic"}
        return trainer_of(tmp_path / run, told, max_steps=4, evaluations=2)

    whole = trainer("whole")
    whole.train()
    stopped = trainer("killed")
    stopped.add_callback(Stop())
    stopped.train()
    resumed = trainer("killed")
    resumed.train(resume_from_checkpoint=str(tmp_path / "killed" / "stage" / "checkpoint-2"))
    for (name, one), other in zip(whole.model.named_parameters(), resumed.model.parameters(), strict=True):
        assert one.equal(other), name
