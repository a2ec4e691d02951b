"""Where the verdicts of a recheck lie: in RUN/rechecks, so that the run's own results stay as they are."""

import re
from collections.abc import Iterator

from pipeline.run.store import RunFolder

RECHECK_NAME = "recheck"
_DIGITS_OF_DIGEST = 8


def rechecks_of(run: RunFolder) -> RunFolder:
    """The folder of all rechecks of a run; the replies in it serve all of them."""
    return RunFolder(run.root / "rechecks")


def recheck_folder(run: RunFolder, model: str, config: str) -> RunFolder:
    """The folder of one recheck, named by its model and the digest of all that its verdicts depend on."""
    name = re.sub(r"[^a-z0-9.]+", "-", model.rstrip("/").rpartition("/")[2].lower()).strip("-.")
    return RunFolder(rechecks_of(run).root / f"{name or 'model'}-{config[:_DIGITS_OF_DIGEST]}")


def is_recheck(run: RunFolder) -> bool:
    """Whether the folder is that of a recheck and not of a run."""
    return (run.root / RECHECK_NAME).is_dir()


def is_recheck_of(folder: RunFolder, run: RunFolder) -> bool:
    """Whether the folder is that of a recheck of this run."""
    return is_recheck(folder) and folder.root.resolve().parent == rechecks_of(run).root.resolve()


def are_rechecks_of_one_run(folder: RunFolder, other: RunFolder) -> bool:
    """Whether both folders are those of rechecks, of the same run."""
    return (
        is_recheck(folder)
        and is_recheck(other)
        and folder.root.resolve().parent == other.root.resolve().parent
    )


def rechecked_shards(folder: RunFolder) -> Iterator[int]:
    """Numbers of the shards that a recheck has finished, ascending."""
    for manifest in sorted((folder.root / RECHECK_NAME).glob("shard-*.json")):
        yield int(manifest.stem.removeprefix("shard-"))
