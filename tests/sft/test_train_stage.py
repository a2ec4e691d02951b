"""Stages of training as they run: by TRL, from a checkpoint on, with adapters."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from pipeline.attention.hook import take_visible_until
from pipeline.attention.trained_for import read_trained_for
from pipeline.attention.visibility import FORGET_NOTHING, Forgetting
from pipeline.sft.collate import Collator
from pipeline.sft.config import LoraConfig
from pipeline.sft.errors import SftError
from pipeline.sft.lora import merged, with_adapters
from pipeline.sft.stage_plan import Job, StageResult, stages_of
from pipeline.sft.tokenized_rows import packed_examples
from pipeline.sft.tokens import SPECIAL
from pipeline.sft.train_stage import load, run_stage
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


def test_packs_that_forget_nothing_are_the_share_that_was_asked_for(tmp_path) -> None:
    learning = ready(tiny(), tmp_path).learning
    rows = packed_examples(learning.train, 80, seed=0, full_attention_share=0.5)
    forgets = [row["forgets"] for row in rows]
    assert 0.2 < sum(forgets) / len(forgets) < 0.8
    collate = Collator(learning.tokenizing.tokens, FORGET_NOTHING, 0)
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
