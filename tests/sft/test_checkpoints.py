"""Checkpoints and models that are not as they were written: noticed, set aside, gone on without."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.evaluate.local_model import LocalModel
from pipeline.files.atomic import file_digest
from pipeline.files.damage import DamageError
from pipeline.files.digests import DIGESTS, write_digests
from pipeline.sft.checkpoints import last_whole_checkpoint
from pipeline.sft.errors import SftError
from pipeline.sft.stage_plan import StageResult, stages_of
from pipeline.sft.train_stage import keep_untrained, run_stage
from tests.files.test_digests import flipped, truncated
from tests.sft.tiny import ready, tiny

CONFIG = tiny(
    full={"max_steps": 6, "learning_rate": 0.01, "batch": 4, "packs_at_once": 2, "evaluations": 3},
    memento=None,
)


def checkpoint(folder: Path, step: int, *, slim: bool = False, noted: bool = True) -> Path:
    """A checkpoint of a few bytes; slim: one that training cannot go on from."""
    place = folder / f"checkpoint-{step}"
    place.mkdir(parents=True)
    for name in ("model.safetensors", "trainer_state.json", *(() if slim else ("optimizer.pt",))):
        (place / name).write_text(json.dumps({"step": step}))
    if noted:
        write_digests(place)
    return place


def test_the_newest_checkpoint_is_by_number_not_by_name(tmp_path: Path) -> None:
    for step in (9, 10):
        checkpoint(tmp_path, step)
    newest = checkpoint(tmp_path, 11)
    assert last_whole_checkpoint(tmp_path, print) == newest


@pytest.mark.parametrize("befall", [flipped, truncated, Path.unlink])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "trainer_state.json"])
def test_a_damaged_checkpoint_is_set_aside_with_a_line_and_the_one_before_is_taken(
    tmp_path: Path, name: str, befall: Callable[[Path], Any]
) -> None:
    before, newest = checkpoint(tmp_path, 2), checkpoint(tmp_path, 4)
    befall(newest / name)
    told: list[str] = []
    assert last_whole_checkpoint(tmp_path, told.append) == before
    (line,) = told
    assert line.startswith(f"{newest / name}: damaged (")
    assert line.endswith("set aside as checkpoint-4.damaged and the one before it is taken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-4.damaged"]


def test_a_checkpoint_that_was_never_finished_is_removed(tmp_path: Path) -> None:
    before = checkpoint(tmp_path, 2)
    for step, state in ((4, None), (6, "")):
        place = checkpoint(tmp_path, step, noted=False)
        (place / "trainer_state.json").unlink()
        if state is not None:
            (place / "trainer_state.json").write_text(state)
    assert last_whole_checkpoint(tmp_path, print) == before
    assert list(tmp_path.iterdir()) == [before]


def test_a_checkpoint_of_an_older_version_is_gone_on_from(tmp_path: Path) -> None:
    newest = checkpoint(tmp_path, 2, noted=False)
    assert last_whole_checkpoint(tmp_path, print) == newest


def test_training_never_goes_on_from_a_checkpoint_without_its_optimizer(tmp_path: Path) -> None:
    checkpoint(tmp_path, 2, slim=True)
    flipped(checkpoint(tmp_path, 4) / "optimizer.pt")
    told: list[str] = []
    assert last_whole_checkpoint(tmp_path, told.append) is None
    assert len(told) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-4.damaged"]


def trained(run: Path, told: list[str] | None = None, config: Any = CONFIG) -> StageResult:
    learning = ready(config, run).learning
    (stage,) = stages_of(config)
    return run_stage(stage, config, learning, run, None, ([] if told is None else told).append)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is done; its stage has three checkpoints."""
    run = tmp_path_factory.mktemp("whole")
    trained(run)
    return run


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that was killed before its last checkpoint was chosen from."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "full" / "result.json").unlink()
    shutil.rmtree(run / "full" / "model")
    return run


def same_model(run: Path, other: Path) -> bool:
    weights = (folder / "full" / "model" / "model.safetensors" for folder in (run, other))
    return len({file_digest(path) for path in weights}) == 1


@pytest.mark.slow
def test_the_newest_two_checkpoints_keep_their_optimizers(whole: Path) -> None:
    kept = sorted(path.parent.name for path in whole.glob("full/checkpoint-*/optimizer.pt"))
    assert kept == ["checkpoint-4", "checkpoint-6"]
    assert len(list(whole.glob(f"full/checkpoint-*/{DIGESTS}"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize("befall", [flipped, truncated])
def test_training_goes_on_from_the_checkpoint_before_a_damaged_one_to_the_same_model(
    run: Path, whole: Path, befall: Callable[[Path], Any]
) -> None:
    befall(run / "full" / "checkpoint-6" / "model.safetensors")
    told: list[str] = []
    trained(run, told)
    assert "stage 1, full attention: going on from checkpoint-4" in told
    assert same_model(run, whole)


@pytest.mark.slow
def test_a_best_checkpoint_that_is_damaged_is_not_chosen(run: Path) -> None:
    last = run / "full" / "checkpoint-6"
    state = json.loads((last / "trainer_state.json").read_text())
    for log in state["log_history"]:
        if "eval_loss" in log:
            log["eval_loss"] = {2: 0.1, 4: 0.2, 6: 0.3}[log["step"]]
    (last / "trainer_state.json").write_text(json.dumps(state))
    write_digests(last)
    (run / "full" / "format_rates.json").unlink()
    flipped(run / "full" / "checkpoint-2" / "model.safetensors")
    told: list[str] = []
    assert trained(run, told).step == 4
    (line,) = (line for line in told if "damaged" in line)
    assert line.endswith("set aside as checkpoint-2.damaged and the best of the others is taken")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model/model.safetensors", "model/config.json", "result.json"])
def test_a_finished_stage_that_is_damaged_is_made_anew_before_anything_uses_it(
    whole: Path, tmp_path: Path, name: str
) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    flipped(run / "full" / name, (run / "full" / name).stat().st_size // 2)
    told: list[str] = []
    trained(run, told)
    assert told[0].startswith(f"{run / 'full' / name}: damaged (")
    assert "stage 1, full attention: done before" not in told
    assert same_model(run, whole)
    told.clear()
    trained(run, told)
    assert told == ["stage 1, full attention: done before"]


@pytest.mark.slow
def test_a_model_that_is_not_as_it_was_saved_is_not_evaluated(whole: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(whole / "full" / "model", tmp_path / "model"))
    flipped(model / "model.safetensors")
    with pytest.raises(DamageError, match="its bytes are not those that were written"):
        LocalModel(str(model), print)


@pytest.mark.slow
def test_an_untrained_model_that_is_damaged_is_made_anew(tmp_path: Path) -> None:
    learning = ready(CONFIG, tmp_path).learning
    weights = tmp_path / "untrained" / "model" / "model.safetensors"
    keep_untrained(CONFIG, learning, tmp_path, print)
    before = weights.read_bytes()
    flipped(weights)
    told: list[str] = []
    keep_untrained(CONFIG, learning, tmp_path, told.append)
    assert len(told) == 1
    assert weights.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("evaluations", "said"), [(3, "the held-out loss is nan at step 2"), (1, "the loss is nan at step 3")]
)
def test_a_loss_that_is_no_number_ends_the_training_with_a_line_and_makes_no_checkpoint(
    tmp_path: Path, evaluations: int, said: str
) -> None:
    """The first step is one of warm-up, and the second spoils the weights."""
    wild = {"max_steps": 6, "learning_rate": 1e38, "batch": 4, "packs_at_once": 2}
    config = tiny(full={**wild, "evaluations": evaluations}, memento=None)
    with pytest.raises(SftError, match=f"^stage 1, full attention: {said}, and") as failure:
        trained(tmp_path, config=config)
    assert "try full.learning_rate below 1e+38" in str(failure.value)
    assert "--run-dir" in str(failure.value)
    assert not list(tmp_path.glob("full/checkpoint-*"))
