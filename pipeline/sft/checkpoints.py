"""The checkpoints of a stage: which is the newest whole one, and what the others need not keep."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

from pipeline.files.atomic import WriteError, writing

# Written last.
_STATE = "trainer_state.json"
# What only going on from it needs, most of its bytes: of the trainer, of FSDP, of DeepSpeed.
_FOR_GOING_ON = ("optimizer*", "pytorch_model_fsdp*", "global_step*")
# Less than this is left of a disk that a weight did not fit on: of what is written, pages are kept.
_FULL_BYTES = 2**20


class Slimming(TrainerCallback):
    """Keeps of the checkpoints behind the newest one only what the choice of the best needs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        for checkpoint in self._folder.glob("checkpoint-*"):
            if checkpoint.name == f"checkpoint-{state.global_step}":
                continue
            for path in (found for pattern in _FOR_GOING_ON for found in checkpoint.glob(pattern)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def saving(folder: Path) -> Iterator[None]:
    """Raises WriteError where the body finds the disk of `folder` full, whichever library has written."""
    try:
        with writing(folder):
            yield
    except (SafetensorError, RuntimeError) as error:
        # The libraries' own messages name neither the disk nor the file.
        if shutil.disk_usage(folder).free > _FULL_BYTES and "os error 28" not in str(error):
            raise
        raise WriteError(
            f"{folder}: No space left on device\n"
            "  free space, then run the same command again: it goes on from the last whole checkpoint"
        ) from error


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint; those that a kill or a full disk has left unfinished are removed."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not _is_whole(checkpoint):
            shutil.rmtree(checkpoint)
    found = get_last_checkpoint(str(folder))  # type: ignore[no-untyped-call]
    return Path(found) if found else None


def _is_whole(checkpoint: Path) -> bool:
    """Whether its last file is there and can be read: a full disk leaves it empty."""
    try:
        json.loads((checkpoint / _STATE).read_text())
    except (OSError, ValueError):
        return False
    return True


def history_of(checkpoint: Path) -> Sequence[dict[str, Any]]:
    """What was logged up to a checkpoint."""
    history: list[dict[str, Any]] = json.loads((checkpoint / _STATE).read_text())["log_history"]
    return history
