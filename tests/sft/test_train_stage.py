"""Stages of training as they run: by TRL, from a checkpoint on, with adapters."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from pipeline.attention.hook import take_visible_until
from pipeline.attention.trained_for import read_trained_for
from pipeline.attention.visibility import AS_IN_THE_PAPER, Forgetting
from pipeline.sft.check import Quality
from pipeline.sft.collate import Collator, Seeing
from pipeline.sft.config import LoraConfig
from pipeline.sft.errors import SftError
from pipeline.sft.lora import merged, with_adapters
from pipeline.sft.stage_plan import Job, StageResult, stages_of
from pipeline.sft.tokenized_rows import packed_examples
from pipeline.sft.tokens import SPECIAL
from pipeline.sft.train_stage import _at_checkpoint, load, run_stage
from pipeline.sft.trainer import make_trainer
from tests.attention.models import CONFIGS, VOCABULARY, model_of
from tests.attention.test_visibility import TOKENS
from tests.sft.tiny import ready, tiny

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def trained(run: Path, config=None) -> dict[str, StageResult]:  # type: ignore[no-untyped-def]
    config = config or tiny()
    learning = ready(config, run).learning
    start, results = None, {}
    for stage in stages_of(config):
        results[stage.name] = run_stage(stage, config, learning, run, start, lambda line: None)
        start = results[stage.name].folder
    return results


def test_two_stages_leave_a_model_that_loads_and_losses_that_fall(tmp_path) -> None:
    results = trained(tmp_path)
    assert list(results) == ["full", "memento"]
    for result in results.values():
        assert result.losses[-1]["loss"] < result.losses[0]["loss"]
        assert result.step in [each["step"] for each in result.evaluations]
        assert all({"well_formed", "problems"} <= each.keys() for each in result.evaluations)
    tokenizer = AutoTokenizer.from_pretrained(results["memento"].folder)
    model = AutoModelForCausalLM.from_pretrained(results["memento"].folder)
    assert tokenizer.chat_template
    records = [read_trained_for(AutoConfig.from_pretrained(each.folder)) for each in results.values()]
    assert [record.forgets for record in records] == [False, True]
    for record in records:
        assert record.forgetting == Forgetting()
        assert list(record.tokens) == tokenizer.convert_tokens_to_ids(list(SPECIAL))
        assert 40 < record.longest <= 80
        assert record.data == "register machine, hidden"
        assert record.revision
        assert record.version == version("openmementos")
    assert model.get_input_embeddings().weight.shape[0] >= len(tokenizer)
    again = trained(tmp_path)
    assert again == results
    with pytest.raises(SftError, match=r"full: was trained otherwise \(seed\); name another run folder"):
        trained(tmp_path, tiny(seed=1))


def test_dropping_nothing_gives_the_loss_of_plain_trl(tmp_path) -> None:
    """The same rows through TRL's own collator, unpacked."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    # All in one batch: the mean over batches would weigh rows by their packs.
    stage_told = {"epochs": 1, "batch": 16, "packs_at_once": 16}
    config = tiny(attention={"keep_last_blocks": -1}, full=None, memento=stage_told)
    config = config.model_copy(update={"data": config.data.model_copy(update={"max_tokens": 90})})
    learning = ready(config, tmp_path).learning
    tokenizer = learning.tokenizing.tokenizer
    (stage,) = stages_of(config)
    job = Job(stage, config, learning, tmp_path / "ours", None)
    ours = make_trainer(job, load(config.model, 0), lambda line: None)
    rows = [dict(row) for row in learning.held_out.table]
    plain = Dataset.from_list(
        [
            {
                "input_ids": row["ids"],
                "completion_mask": [0] * row["prompt"] + [1] * (len(row["ids"]) - row["prompt"]),
            }
            for row in rows
        ]
    )
    arguments = SFTConfig(
        output_dir=str(tmp_path / "theirs"), per_device_eval_batch_size=16, report_to="none", use_cpu=True,
        bf16=False, disable_tqdm=True, max_length=None, completion_only_loss=True,
    )  # fmt: skip
    theirs = SFTTrainer(
        model=load(config.model, 0), args=arguments, train_dataset=plain, eval_dataset=plain,
        processing_class=tokenizer,
    )  # fmt: skip
    assert ours.evaluate()["eval_loss"] == pytest.approx(theirs.evaluate()["eval_loss"], rel=1e-4)


PROGRAM = """
import sys
from pathlib import Path
from tests.sft.test_train_stage import trained
trained(Path(sys.argv[1]))
"""


def test_a_killed_run_goes_on_to_the_same_losses(tmp_path) -> None:
    whole = trained(tmp_path / "whole")
    run = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(run)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    deadline = time.monotonic() + 120
    while not list(run.glob("memento/checkpoint-*/trainer_state.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "memento" / "result.json").exists()
    # As a kill in the middle of saving leaves it.
    (run / "memento" / "checkpoint-9999").mkdir()
    # And as a full disk does.
    (run / "memento" / "checkpoint-9998").mkdir()
    (run / "memento" / "checkpoint-9998" / "trainer_state.json").touch()
    resumed = trained(run)
    for name, result in whole.items():
        for ours, theirs in zip(resumed[name].losses, result.losses, strict=True):
            assert ours == pytest.approx(theirs)
        for ours, theirs in zip(resumed[name].evaluations, result.evaluations, strict=True):
            assert ours == pytest.approx(theirs)
    assert json.loads((run / "memento" / "result.json").read_text())["step"] == whole["memento"].step


@pytest.mark.parametrize("tied", [True, False])
def test_adapters_change_only_the_special_rows_and_merge_to_the_same_model(tied: bool) -> None:
    config = CONFIGS["qwen3"].__class__(**{**CONFIGS["qwen3"].to_dict(), "tie_word_embeddings": tied})
    model = model_of(config)
    take_visible_until(model)
    before = model.get_input_embeddings().weight.detach().clone()
    wrapped = with_adapters(model, TOKENS, LoraConfig(rank=2, alpha=4, dropout=0.0))
    ids = torch.randint(0, VOCABULARY, (2, 24), generator=torch.Generator().manual_seed(0))
    visible = torch.full((2, 24), 24)
    optimizer = torch.optim.AdamW([p for p in wrapped.parameters() if p.requires_grad], lr=0.05)
    wrapped.train()
    for _ in range(3):
        wrapped(input_ids=ids, visible_until=visible, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    wrapped.eval()
    with torch.no_grad():
        unmerged = wrapped(input_ids=ids, visible_until=visible).logits
        one = merged(wrapped)
        torch.testing.assert_close(one(input_ids=ids).logits, unmerged, atol=1e-4, rtol=1e-4)
    after = one.get_input_embeddings().weight
    changed = {row for row in range(VOCABULARY) if not torch.equal(after[row], before[row])}
    assert changed == {*TOKENS}


def test_packs_see_all_or_restart_in_the_shares_that_were_asked_for(tmp_path) -> None:
    config = tiny(
        data={**tiny().data.model_dump(), "register_machine": {"kind": "hidden", "sizes": [[2, 2, 800]]}}
    )
    learning = ready(config, tmp_path).learning
    rows = packed_examples(learning.train, 40, seed=0, full_attention_share=0.3, restart_share=0.2)
    seeing = np.bincount(rows["seeing"][:], minlength=3) / len(rows)
    assert seeing[Seeing.FULL] == pytest.approx(0.3, abs=0.05)
    assert seeing[Seeing.RESTART] == pytest.approx(0.2, abs=0.05)
    assert seeing[Seeing.MEMENTO] == pytest.approx(0.5, abs=0.05)
    for share, only in ((0.0, Seeing.MEMENTO), (1.0, Seeing.FULL)):
        assert {*packed_examples(learning.train, 40, seed=0, full_attention_share=share)["seeing"]} == {only}
    collate = Collator(learning.tokenizing.tokens, AS_IN_THE_PAPER, 0)
    assert collate([rows[0], rows[1]])["visible_until"].shape[0] == 2


def test_a_model_is_retrofitted_by_adapters_and_comes_out_whole(tmp_path) -> None:
    base = trained(tmp_path / "base", tiny(memento=None))["full"].folder
    model = {"path": str(base), "lora": {"rank": 2, "alpha": 4, "dropout": 0.0}}
    (result,) = trained(tmp_path / "lora", tiny(full=None, model=model)).values()
    assert result.losses[-1]["loss"] < result.losses[0]["loss"]
    before, after = (
        AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (base, result.folder)
    )
    assert before.keys() == after.keys()
    changed = (before["model.embed_tokens.weight"] != after["model.embed_tokens.weight"]).any(1)
    tokenizer = AutoTokenizer.from_pretrained(result.folder)
    assert changed.nonzero().flatten().tolist() == sorted(tokenizer.convert_tokens_to_ids(list(SPECIAL)))


class Right:
    """Stands for the check: so many of each call's responses are right, call after call."""

    def __init__(self, *shares: float) -> None:
        self.shares, self.asked = list(shares), list[int]()

    def __call__(self, model, tokenizing, rows, forgetting, config) -> Quality:  # type: ignore[no-untyped-def]
        self.asked.append(len(rows))
        return Quality(len(rows), len(rows), round(self.shares.pop(0) * len(rows)), 10.0)


GOAL = {
    "memento": None,
    "full": {"epochs": 4, "batch": 4, "packs_at_once": 4, "evaluations": 4, "goal": 0.9},
    "check": {"problems": 4, "problems_between": 2, "new_tokens": 4},
}


def test_a_stage_ends_where_its_goal_is_reached_by_all_problems(tmp_path, monkeypatch) -> None:
    # Two of the evaluation's problems first; only where they are right all four are asked.
    check = Right(0.5, 1.0, 0.75, 1.0, 1.0)
    monkeypatch.setattr("pipeline.sft.selection.check", check)
    (result,) = trained(tmp_path, tiny(**GOAL)).values()
    assert check.asked == [2, 2, 4, 2, 4]
    steps = [each["step"] for each in result.evaluations]
    assert len(steps) == 3
    assert result.step == steps[-1]
    # Killed before its result was kept, it is not trained further.
    (tmp_path / "full" / "result.json").unlink()
    (again,) = trained(tmp_path, tiny(**GOAL)).values()
    assert again.step == result.step
    assert check.shares == []


def test_a_stage_that_does_not_reach_its_goal_fails_however_often_it_is_run(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.sft.selection.check", Right(*[0.5] * 4))
    for _ in range(2):
        with pytest.raises(SftError, match=r"stage 1.*: did not reach its goal, 90\.0% right"):
            trained(tmp_path, tiny(**GOAL))
    assert not (tmp_path / "full" / "model").exists()


def test_a_goal_that_nothing_would_tell_of_is_refused() -> None:
    with pytest.raises(ValidationError, match="nothing would tell when it is reached"):
        tiny(**{**GOAL, "check": {"problems": 4, "problems_between": 0}})


@pytest.mark.parametrize("lora", [{"rank": 2, "alpha": 4, "dropout": 0.0}, None])
def test_quality_is_that_of_the_saved_weights(tmp_path, monkeypatch, lora) -> None:
    """Of a model in bf16, whose adapters and updates are rounded when they are saved."""
    scratch = tiny(memento=None)
    base = tmp_path / "base"
    load(scratch.model, 0).to(torch.bfloat16).save_pretrained(base)
    learning = ready(scratch, tmp_path / "run").learning
    learning.tokenizing.tokenizer.save_pretrained(base)
    config = tiny(memento=None, model={"path": str(base), "lora": lora})
    (stage,) = stages_of(config)
    judged: list[dict[str, torch.Tensor]] = []

    def check(model, *_):  # type: ignore[no-untyped-def]
        judged.append({name: each.detach().clone() for name, each in model.named_parameters()})
        return Quality(1, 1, 1, 1.0)

    monkeypatch.setattr("pipeline.sft.train_stage.check", check)
    result = run_stage(stage, config, learning, tmp_path / "run", None, lambda line: None)
    saved = AutoModelForCausalLM.from_pretrained(result.folder, dtype="auto")
    unrounded = _at_checkpoint(tmp_path / "run/full" / f"checkpoint-{result.step}", None, learning, config)
    (seen,) = judged
    for (name, weight), exact in zip(saved.named_parameters(), unrounded.parameters(), strict=True):
        assert weight.dtype == torch.bfloat16, "as the model that was read"
        assert seen[name].equal(weight.float()), name
        assert exact.bfloat16().equal(weight), name
    assert any(not seen[name].equal(exact) for name, exact in unrounded.named_parameters())
