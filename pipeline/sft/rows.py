"""The rows to learn from: a published folder, a run's, a data set on the Hub, or one that is computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from pipeline.files.atomic import file_digest, value_digest
from pipeline.procedural.dataset import publish_register_machine
from pipeline.publish.splits import TRAIN, split_of
from pipeline.run.store import RunFolder
from pipeline.sft.config import DataConfig
from pipeline.sft.errors import SftError

# What checkpoints are chosen by. A split called `test` is for results: nothing is chosen by it.
HELD_OUT = "validation"
_TEST = "test"
_COLUMNS = ("problem", "response")
# Of a curriculum: the number of the size that a row has, from 0.
SIZE = "difficulty"
# What loading a data set raises where there is none, or none that can be read.
LOADING_ERRORS = (HfHubHTTPError, httpx2.HTTPError, OSError, ValueError, datasets.exceptions.DatasetsError)


@dataclass(frozen=True)
class Rows:
    """Rows to learn and rows held out, of `problem` and `response`; where from, in which state.

    Rows to learn of a curriculum also have `SIZE`; its held-out rows are those of the last size.
    """

    train: datasets.Dataset
    held_out: datasets.Dataset
    name: str
    revision: str


def load_rows(config: DataConfig, run: Path, tell: Callable[[str], None]) -> Rows:
    """The rows of a data set. Raises SftError where there is none, or it has no mementos to learn."""
    if machine := config.register_machine:
        made = RunFolder(run / "data")
        made.root.mkdir(parents=True, exist_ok=True)
        published = publish_register_machine(
            made, machine.kind, machine.sizes, seed=machine.seed, validation=config.held_out, tell=tell
        )
        name = f"register machine, {machine.kind}"
        found, revision = _local(published.folder), _digest(published.folder)
        rows = _split(found, config, name, revision, tell, columns=(*_COLUMNS, SIZE))
        # The shorter ones are there to learn the last by.
        last = rows.held_out.filter(lambda row: row[SIZE] == len(machine.sizes) - 1)
        return replace(rows, held_out=last.select_columns(list(_COLUMNS)))
    assert config.dataset is not None
    folder = Path(config.dataset)
    if folder.is_dir():
        folder = folder / "publish" if (folder / "publish").is_dir() else folder
        return _split(_local(folder), config, folder.resolve().parent.name, _digest(folder), tell)
    if folder.is_absolute() or config.dataset.count("/") != 1:
        raise SftError(
            f"data.dataset {config.dataset}: no such folder, and not the name of a data set on the Hub"
        )
    try:
        revision = HfApi().dataset_info(config.dataset, revision=config.revision).sha or ""
        found = datasets.load_dataset(config.dataset, revision=revision)
    except LOADING_ERRORS as error:
        raise SftError(
            f"data.dataset {config.dataset}: cannot be loaded from the Hub "
            f"({str(error).strip().partition(chr(10))[0]})"
        ) from None
    return _split(found, config, config.dataset, revision, tell)


def _local(folder: Path) -> Any:
    files = {}
    for split in (TRAIN, HELD_OUT, _TEST):
        if paths := sorted(map(str, folder.glob(f"data/{split}-*.parquet"))):
            files[split] = paths
    if not files:
        raise SftError(f"{folder}: has no data/train-*.parquet; name a run's folder or its `publish`")
    return datasets.load_dataset("parquet", data_files=files)


def _split(
    found: Any,
    config: DataConfig,
    name: str,
    revision: str,
    tell: Callable[[str], None],
    columns: Sequence[str] = _COLUMNS,
) -> Rows:
    train = found[TRAIN]
    if missing := [column for column in columns if column not in train.column_names]:
        raise SftError(
            f"data.dataset {name}: has no column {', '.join(missing)}; mementos are learnt from `problem` "
            "and `response`"
        )
    train = train.select_columns(list(columns))
    if HELD_OUT in found:
        held = found[HELD_OUT].select_columns(list(columns))
    else:
        shares = {TRAIN: 1 - config.held_out, HELD_OUT: config.held_out}
        sides = [split_of(problem, shares) for problem in train["problem"]]
        held = train.select([at for at, side in enumerate(sides) if side != TRAIN])
        train = train.select([at for at, side in enumerate(sides) if side == TRAIN])
        if _TEST in found:
            tell(
                f"{name}: has no split {HELD_OUT}; {len(held):,} rows of {TRAIN} are held out to choose "
                f"checkpoints by, and {_TEST} is left alone"
            )
    if config.limit:
        train = train.select(range(min(config.limit, len(train))))
    if not len(train) or not len(held):
        raise SftError(
            f"data.dataset {name}: {len(train):,} rows to learn and {len(held):,} held out; both are needed: "
            "give more rows, or raise data.held_out"
        )
    return Rows(train, held, name, revision)


def _digest(folder: Path) -> str:
    return value_digest([file_digest(path) for path in sorted(folder.glob("data/*.parquet"))])[:12]
