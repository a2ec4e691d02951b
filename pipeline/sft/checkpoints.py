"""The checkpoints of a stage: which is the newest whole one, and what older ones need not keep."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import TrainerCallback

from pipeline.files.atomic import WriteError, writing
from pipeline.files.damage import DamageError, set_aside
from pipeline.files.digests import DIGESTS, check_digests, drop_files, is_any_of, write_digests

_NUMBERED = re.compile(r"checkpoint-(\d+)")
# What Transformers writes last.
_STATE = "trainer_state.json"
# What only going on from it needs, most of its bytes: of the trainer, of FSDP, of DeepSpeed.
_FOR_GOING_ON = ("optimizer*", "pytorch_model_fsdp*", "global_step*")
# Less than this is left of a disk that a weight did not fit on: of what is written, pages are kept.
_FULL_BYTES = 2**20


class Checkpoints(TrainerCallback):
    """Notes what each checkpoint is once it is written, and what the older ones need not keep.

    Training can go on from the newest two, so that one of them may be damaged. Of the others is kept what the
    choice of the best needs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # each device has written a part
        if not state.is_world_process_zero:
            return
        write_digests(self._folder / f"checkpoint-{state.global_step}")
        for checkpoint in _newest_first(self._folder)[2:]:
            drop_files(checkpoint, _FOR_GOING_ON)


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


def last_whole_checkpoint(folder: Path, tell: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that training can go on from; None where there is none, and so it begins anew.

    Those that a kill or a full disk has left unfinished are removed. One that is not as it was written is set
    aside, and the one before it is looked at. Of its bytes all are read.
    """
    for checkpoint in _newest_first(folder):
        if not _is_finished(checkpoint):
            shutil.rmtree(checkpoint)
        elif is_whole(checkpoint, tell, then="the one before it is taken", going_on=True):
            return checkpoint
    for checkpoint in _newest_first(folder):
        shutil.rmtree(checkpoint)  # without what going on needs; they are made again
    return None


def is_whole(checkpoint: Path, tell: Callable[[str], None], *, then: str, going_on: bool = False) -> bool:
    """Whether a checkpoint is as it was written; a damaged one is set aside, with a line that says what then.

    going_on: whether it has to have what only going on from it needs, too.
    """
    try:
        noted = check_digests(checkpoint)
    except DamageError as damage:
        set_aside(damage, folder=checkpoint, then=then, tell=tell)
        return False
    # Of an older version, or killed just before they were noted: all had been written then.
    names = noted if noted is not None else {path.name for path in checkpoint.iterdir()}
    return not going_on or any(is_any_of(name, _FOR_GOING_ON) for name in names)


def _newest_first(folder: Path) -> list[Path]:
    steps = (_NUMBERED.fullmatch(path.name) for path in folder.glob("checkpoint-*"))
    return [folder / found[0] for found in sorted(filter(None, steps), key=lambda found: -int(found[1]))]


def _is_finished(checkpoint: Path) -> bool:
    """Whether its last file is there and can be read: a full disk leaves it empty."""
    if (checkpoint / DIGESTS).exists():
        return True
    try:
        json.loads((checkpoint / _STATE).read_text())
    except (OSError, ValueError):
        return False
    return True


def history_of(checkpoint: Path) -> Sequence[dict[str, Any]]:
    """What was logged up to a checkpoint."""
    history: list[dict[str, Any]] = json.loads((checkpoint / _STATE).read_text())["log_history"]
    return history
