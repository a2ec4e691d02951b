"""Any damaged file of a run folder is named, set aside and made anew; the published bytes stay the same."""

import logging
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config import BuildConfig
from pipeline.files.damage import DamageError
from pipeline.run.store import RunFolder
from tests.builds import published, run_build, small_build, source_of
from tests.servers.stub_llm import StubLlm


@dataclass(frozen=True)
class Finished:
    """A run that was built to its end, and what it published."""

    run: RunFolder
    build: BuildConfig
    stub: StubLlm
    wanted: dict[str, str]

    def copied_to(self, root: Path) -> RunFolder:
        shutil.copytree(self.run.root, root)
        return RunFolder(root)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("finished")
    with StubLlm() as stub:
        build = small_build(source_of(folder, traces=5), stub.endpoint)
        run = RunFolder(folder / "run")
        run_build(build, run)
        yield Finished(run, build, stub, published(run))


def flip(path: Path, at: float = 0.5) -> None:
    """One bit in the middle of the file, which keeps its size."""
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 0x10
    path.write_bytes(content)


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def garble(path: Path) -> None:
    path.write_bytes(b"\xff\x00[1, 2]" * 20)


def delete(path: Path) -> None:
    path.unlink()


STAGE_NAMES = ("ingest", "split", "score", "partition", "mementos", "records")
DAMAGES = [flip, truncate, garble, delete]
# Of each kind one; that of the second shard, which a wrong place would move behind the third.
KINDS = [
    *(f"{stage}/shard-00001.parquet" for stage in STAGE_NAMES),
    *(f"{stage}/shard-00001.json" for stage in STAGE_NAMES),
    "ingest/selection.json",
    "ingest/scan/*.parquet",
    "ingest/scan/*.json",
    "places/shard-00001.json",
    "rejected/ingest-*.parquet",
    "effort/mementos-00001.parquet",
    "replies/score-00001.jsonl",
    "replies/mementos-00001.jsonl",
    "config.json",
    "run.json",
    "publish.json",
    "publish/data/train-00000-of-00001.parquet",
    "publish/audit/train-00000-of-00001.parquet",
    "publish/README.md",
    "publish/figures/*.png",
    "progress/step.txt",
    "lock",
]
# Nobody's input: written anew without a look at it.
UNREAD = ("replies", "progress", "lock", "run.json")


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_made_anew_to_the_same_published_bytes(
    finished: Finished, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, damage
) -> None:
    run = finished.copied_to(tmp_path / "run")
    path = sorted(run.root.glob(kind))[0]
    damage(path)
    with caplog.at_level(logging.WARNING):
        run_build(finished.build, run)
    assert published(run) == finished.wanted
    if damage is not delete and not kind.startswith(UNREAD):
        assert any(str(path) in told for told in caplog.messages)
        assert list(run.root.rglob("*.damaged"))
    caplog.clear()
    run_build(finished.build, run)
    assert caplog.messages == []


def test_what_is_damaged_again_and_again_is_kept_each_time(finished: Finished, tmp_path: Path) -> None:
    run = finished.copied_to(tmp_path / "run")
    for _ in range(3):
        flip(run.shard("split", 0))
        run_build(finished.build, run)
    names = {path.name for path in (run.root / "split").glob("shard-00000.parquet.*")}
    assert names == {f"shard-00000.parquet.damaged{end}" for end in ("", "-2", "-3")}


def test_only_what_is_damaged_is_asked_for_again(finished: Finished, tmp_path: Path) -> None:
    run = finished.copied_to(tmp_path / "run")
    flip(run.shard("mementos", 1))
    asked = finished.stub.totals.requests
    run_build(finished.build, run)
    assert finished.stub.totals.requests == asked
    flip(run.shard("mementos", 1))
    path = run.replies("mementos", 1)
    flip(path)
    run_build(finished.build, run)
    assert 1 <= finished.stub.totals.requests - asked <= 2, "a flipped bit may join two lines"
    assert published(run) == finished.wanted


def test_a_shard_that_is_lost_with_its_manifest_gets_its_traces_back(
    finished: Finished, tmp_path: Path
) -> None:
    run = finished.copied_to(tmp_path / "run")
    before = [run.read("ingest", shard).to_pylist() for shard in range(3)]
    run.shard("ingest", 0).unlink()
    run.manifest("ingest", 0).unlink()
    flip(run.places(0))
    run_build(finished.build, run)
    assert [run.read("ingest", shard).to_pylist() for shard in range(3)] == before
    assert published(run) == finished.wanted


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_a_random_damage_ends_with_the_same_bytes(finished: Finished, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    run = finished.copied_to(tmp_path / "run")
    files = sorted(path for path in run.root.rglob("*") if path.is_file() and path.stat().st_size)
    for path in chance.sample(files, chance.choice([1, 1, 2, 3])):
        content = bytearray(path.read_bytes())
        for _ in range(chance.choice([1, 1, 8])):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content[: chance.choice([len(content), chance.randrange(len(content) + 1)])])
    run_build(finished.build, run)
    assert published(run) == finished.wanted


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith((".parquet", ".json"))])
def test_commands_that_look_name_a_damaged_file_in_one_line(
    finished: Finished, tmp_path: Path, kind: str
) -> None:
    run = finished.copied_to(tmp_path / "run")
    path = sorted(run.root.glob(kind))[0]
    flip(path)
    trace = finished.run.read("ingest", 1)["trace_id"][0].as_py()
    root = str(run.root)
    commands = (
        ["inspect", root],
        ["inspect", root, trace],
        ["compare", root, str(finished.run.root)],
        ["publish", root, "--to", "org/name"],
        ["recheck", root, "--limit", "1"],
    )
    for command in commands:
        done = CliRunner().invoke(app, command)
        assert done.exception is None or isinstance(done.exception, SystemExit), command
        if done.exit_code:
            (line,) = [line for line in done.output.splitlines() if line.startswith("error: ")]
            assert str(path) in line or "HF_TOKEN" in line, (command, done.output)
            assert "again" in line or "HF_TOKEN" in line


def test_the_error_of_a_reader_names_file_and_remedy(finished: Finished, tmp_path: Path) -> None:
    run = finished.copied_to(tmp_path / "run")
    flip(run.shard("records", 0))
    with pytest.raises(DamageError, match=r"shard-00000\.parquet: damaged \(its bytes .*\); run the build"):
        run.read("records", 0)
