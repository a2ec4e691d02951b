"""Every command that writes, killed at moments chosen by chance: run again it ends with the same bytes."""

import random
import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.files.atomic import file_digest
from pipeline.procedural.register_machine import WORDS
from pipeline.run.store import RunFolder
from pipeline.sft.config import ModelConfig
from pipeline.sft.model import load, word_tokenizer
from pipeline.verdicts import Opinion, mementos_of, put
from tests.builds import source_of
from tests.kills import Ended, Nursery, nursery
from tests.servers.stub_llm import StubLlm
from tests.sft.tiny import tiny
from tests.verdicts.runs import verdict

pytestmark = pytest.mark.slow


class Workshop:
    """What commands are run on: a source, a stub for the model, and what has to be made before."""

    def __init__(self, folder: Path, stub: StubLlm, nursery: Nursery) -> None:
        self.folder, self.stub, self.nursery = folder, stub, nursery
        self.source = source_of(folder, traces=3)
        (folder / "sft.yaml").write_text(tiny().model_dump_json())
        self._numbers = count()

    def new_folder(self) -> Path:
        return self.folder / f"{next(self._numbers)}"

    def build_options(self, folder: Path) -> list[str]:
        settings = {"score.form": "window", "partition.min_tokens": 30, "traces_per_shard": 2}
        told = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        return ["-c", "sample.yaml", "-s", str(self.source), "-r", str(folder), *told]

    def model_options(self) -> list[str]:
        return ["-e", self.stub.endpoint, "-m", "stub"]

    def finished_build(self) -> Path:
        folder = self.folder / "finished"
        if not folder.exists():
            ended = self.nursery.run(["build", *self.build_options(folder), *self.model_options()], folder)
            assert ended.code == 0, ended.said
        return folder

    def model(self) -> Path:
        folder = self.folder / "model"
        if not folder.exists():
            word_tokenizer(WORDS).save_pretrained(folder)
            load(ModelConfig.model_validate(tiny().model.model_dump()), seed=0).save_pretrained(folder)
        return folder


class Build:
    """What a command is run with, on which folder, and what it has to leave there."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    def begin(self, folder: Path) -> None:
        """Puts what the command needs into its folder."""

    def arguments(self, folder: Path) -> list[str]:
        return ["build", *self.workshop.build_options(folder), *self.workshop.model_options()]

    def result(self, folder: Path) -> Any:
        return digests(folder, "publish/**/*", "*/shard-*.parquet"), names(folder / "report")


class Select(Build):
    def arguments(self, folder: Path) -> list[str]:
        return ["select", *self.workshop.build_options(folder), "--figure", str(folder / "selection.png")]

    def result(self, folder: Path) -> Any:
        return digests(folder, "ingest/shard-*.parquet", "selection.png")


class Plan(Build):
    def arguments(self, folder: Path) -> list[str]:
        return ["plan", *self.workshop.build_options(folder)]

    def result(self, folder: Path) -> Any:
        return digests(folder, "*/shard-*.parquet")


class Report(Build):
    def begin(self, folder: Path) -> None:
        copytree(self.workshop.finished_build(), folder, ignore=ignore_patterns("report"))

    def arguments(self, folder: Path) -> list[str]:
        return ["report", str(folder), "--compare", str(self.workshop.finished_build())]

    def result(self, folder: Path) -> Any:
        pages = {path.relative_to(folder): path.read_text() for path in folder.glob("report/**/*.html")}
        # But for the minute in which they were written.
        return names(folder / "report"), {
            path: re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "", text) for path, text in pages.items()
        }


class Recheck(Report):
    def arguments(self, folder: Path) -> list[str]:
        return ["recheck", str(folder), *self.workshop.model_options()]

    def result(self, folder: Path) -> Any:
        return digests(folder, "rechecks/*/recheck/*.parquet")


class Verdicts(Report):
    def begin(self, folder: Path) -> None:
        super().begin(folder)
        run = RunFolder(folder)
        ids = run.read("mementos", 0)["trace_id"].to_pylist()
        for one in mementos_of(run, ids):
            put(run, verdict(one.trace_id, one.block, Opinion.BAD, memento_sha256=one.key.memento_sha256))

    def arguments(self, folder: Path) -> list[str]:
        return ["verdicts", str(folder), "--output", str(folder / "mine" / "verdicts.csv")]

    def result(self, folder: Path) -> Any:
        return digests(folder, "mine/*")


class Train(Build):
    def arguments(self, folder: Path) -> list[str]:
        return ["sft", "-c", str(self.workshop.folder / "sft.yaml"), "-r", str(folder)]

    def result(self, folder: Path) -> Any:
        return digests(folder, "*/model/**/*"), (folder / "report.json").read_text().replace(f"{folder}/", "")


class Evaluate(Build):
    def arguments(self, folder: Path) -> list[str]:
        asked = ["-t", "register-machine:2x2", "-n", "4", "--new-tokens", "20"]
        return ["evaluate", f"tiny={self.workshop.model()}", *asked, "-r", str(folder)]

    def result(self, folder: Path) -> Any:
        table = pq.read_table(folder / "generations.parquet").drop_columns("seconds")
        return table, names(folder / "figures")


def digests(folder: Path, *patterns: str) -> dict[str, str]:
    files = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    assert files, f"{folder}: nothing of {patterns}"
    return {str(path.relative_to(folder)): file_digest(path) for path in files}


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def workshop(prefect_server, tmp_path_factory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("kills")
    with ExitStack() as stack:
        stub = stack.enter_context(StubLlm())
        started = stack.enter_context(nursery(folder / "said.txt", prefect_server.environment))
        yield Workshop(folder, stub, started)


# A hundred in all.
MANY = [
    (Build, 30),
    (Train, 28),
    (Report, 12),
    (Evaluate, 10),
    (Recheck, 8),
    (Select, 4),
    (Plan, 4),
    (Verdicts, 4),
]


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("kind", "kills", "seed"),
    [
        *((kind, kills, 0) for kind, kills in ((Build, 3), (Train, 2), (Report, 1), (Evaluate, 1))),
        *(pytest.param(*case, 1, marks=[pytest.mark.exhaustive, pytest.mark.timeout(7200)]) for case in MANY),
    ],
)
def test_a_command_that_was_killed_ends_well_the_next_time_with_the_same_bytes(
    workshop: Workshop, kind: type[Build], kills: int, seed: int
) -> None:
    """Some are killed again while they go on, and all are left to end at last."""
    command = kind(workshop)
    whole = workshop.new_folder()
    command.begin(whole)
    ended = workshop.nursery.run(command.arguments(whole), whole)
    assert ended.code == 0, ended.said
    expected = command.result(whole)
    chance, changes = random.Random(seed), ended.changes
    folder = None
    while kills:
        if folder is None:
            folder = workshop.new_folder()
            command.begin(folder)
        ended = workshop.nursery.run_killed(command.arguments(folder), folder, changes, chance)
        if ended.was_killed:
            kills -= 1
        else:
            assert_ended_well(ended, folder, expected, command)
            folder = None
    if folder is not None:
        ended = workshop.nursery.run(command.arguments(folder), folder)
        assert_ended_well(ended, folder, expected, command)


def assert_ended_well(ended: Ended, folder: Path, expected: Any, command: Build) -> None:
    assert ended.code == 0, ended.said
    assert "Traceback" not in ended.said
    assert command.result(folder) == expected
    assert [str(path) for path in folder.rglob(".*.tmp")] == []
