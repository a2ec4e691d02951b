"""Several processes train as one does, and what goes wrong in one of them is said."""

import pickle
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from pipeline.attention.hook import MaskedAttention, take_visible_until
from pipeline.sft.errors import SftError
from pipeline.sft.launch import accelerate_config
from pipeline.sft.stage_plan import stages_of
from pipeline.sft.train_stage import run_stage
from tests.attention.models import CONFIGS, VOCABULARY, model_of
from tests.sft.test_train_stage import trained
from tests.sft.tiny import ready, tiny

pytestmark = pytest.mark.slow
# Of an epoch; then one is filled up, with one process not as with two.
WHOLE_BATCHES = 11
SHIPPED = ("fsdp2.yaml", "deepspeed-zero3.yaml")


@pytest.mark.parametrize("name", SHIPPED)
def test_configs_that_come_along_are_read_by_accelerate(name: str) -> None:
    config = load_config_from_file(str(accelerate_config(name)))
    assert config.num_machines == 1
    assert config.distributed_type in ("FSDP", "DEEPSPEED")


def test_a_missing_config_names_those_that_come_along() -> None:
    with pytest.raises(SftError, match=r"accelerate no\.yaml: .* deepspeed-zero3\.yaml, fsdp2\.yaml"):
        accelerate_config("no.yaml")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_processes_learn_what_one_does(precision: str, tmp_path: Path) -> None:
    """On CPUs accelerate's launcher reads the config and starts the processes; they average gradients."""
    model = tiny().model.model_dump() | {"precision": precision}
    alone = trained(tmp_path / "one", tiny(model=model))
    lines: list[str] = []
    config = tiny(model=model, devices={"count": 2})
    learning = ready(config, tmp_path / "two").learning
    start = None
    for stage in stages_of(config):
        result = run_stage(stage, config, learning, tmp_path / "two", start, lines.append)
        start = result.folder
        before = alone[stage.name]
        if stage.name == "full":
            for ours, theirs in zip(result.losses[:WHOLE_BATCHES], before.losses, strict=False):
                assert ours == pytest.approx(theirs)
        assert result.held_out_loss == pytest.approx(before.held_out_loss, rel=0.02)
    assert len([line for line in lines if "held-out loss" in line]) == 4, "one of the processes speaks"


def test_a_batch_that_devices_cannot_share_is_named(tmp_path: Path) -> None:
    config = tiny(devices={"count": 2}, memento=None)
    config = config.model_copy(update={"full": config.full.model_copy(update={"batch": 3})})
    (stage,) = stages_of(config)
    with pytest.raises(SftError, match="batch 3 is no multiple of packs_at_once 2 × 2 devices"):
        run_stage(stage, config, ready(config, tmp_path).learning, tmp_path, None, lambda line: None)


# As accelerate shards a model that is trained in bf16, with the trainer's own sums over devices.
IN_BF16 = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)


def sharded(rank: int, folder: str) -> None:
    """One of two processes that hold half a model each; the first writes losses and gradients."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    mesh = torch.distributed.init_device_mesh("cpu", (2,))
    found = []
    for policy in (MixedPrecisionPolicy(), IN_BF16):
        model, attention, ids, visible = example()
        for layer in model.model.layers:
            fully_shard(layer, mesh=mesh, mp_policy=policy)
        fully_shard(model, mesh=mesh, mp_policy=policy)
        model.gradient_checkpointing_enable({"use_reentrant": False})
        for _ in range(2):  # the second sees that the layers that were computed again had masks
            model.zero_grad()
            autocast = torch.autocast("cpu", torch.bfloat16, enabled=policy is IN_BF16)
            with autocast, attention.in_every_layer():
                loss = model.train()(input_ids=ids, visible_until=visible, labels=ids, use_cache=False).loss
            loss.backward()
        found.append((loss.detach(), model.get_input_embeddings().weight.grad.full_tensor()))
    if rank == 0:
        Path(folder, "out").write_bytes(pickle.dumps(found))
    torch.distributed.destroy_process_group()


def example() -> tuple[torch.nn.Module, MaskedAttention, torch.Tensor, torch.Tensor]:
    model = model_of(CONFIGS["olmo3"])
    attention = take_visible_until(model)
    ids = torch.randint(0, VOCABULARY, (2, 24), generator=torch.Generator().manual_seed(0))
    visible = torch.full((2, 24), 24)
    visible[:, 4:9] = 12
    return model, attention, ids, visible


def test_a_model_sharded_by_fsdp2_attends_as_the_whole_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(sharded, (str(tmp_path),), nprocs=2)
    (loss, gradient), (in_bf16, gradient_in_bf16) = pickle.loads((tmp_path / "out").read_bytes())
    model, _, ids, visible = example()
    whole = model(input_ids=ids, visible_until=visible, labels=ids).loss
    whole.backward()
    expected = model.get_input_embeddings().weight.grad.clone()
    torch.testing.assert_close(loss, whole.detach())
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)
    # What one device computes in bf16 is as far from fp32 as what two compute.
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        whole = model(input_ids=ids, visible_until=visible, labels=ids).loss
    whole.backward()
    torch.testing.assert_close(in_bf16.float(), whole.detach().float(), atol=0, rtol=0.01)
    assert gradient_in_bf16.dtype == torch.float32
    far = (gradient_in_bf16 - model.get_input_embeddings().weight.grad).norm() / expected.norm()
    assert far < 0.05
