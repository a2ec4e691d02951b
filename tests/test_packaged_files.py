"""Configs and sample traces that come along are found from any folder."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config_file import load_config
from pipeline.ingest.sources import find_files
from pipeline.packaged_files import find_config, local_path, shipped_configs

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "sample" / "traces.jsonl"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with nothing in it, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_bare_name_is_that_of_a_config_that_comes_along(elsewhere: Path) -> None:
    path, told = find_config(Path("sample.yaml"))
    assert path == shipped_configs()["sample.yaml"]
    assert str(path) in told


def test_a_file_of_that_name_in_the_current_folder_wins_and_is_told(elsewhere: Path) -> None:
    (elsewhere / "sample.yaml").write_text("name: mine\n")
    path, told = find_config(Path("sample.yaml"))
    assert load_config(path).name == "mine"
    assert "of this folder" in told


@pytest.mark.parametrize("named", ["mine.yaml", "sub/sample.yaml", "/nowhere/sample.yaml"])
def test_other_paths_mean_what_they_say(elsewhere: Path, named: str) -> None:
    assert find_config(Path(named)) == (Path(named), "")


def test_the_shipped_file_itself_is_taken_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "flows" / "configs")
    assert find_config(Path("sample.yaml")) == (Path("sample.yaml"), "")


def test_an_unknown_name_lists_those_there_are(elsewhere: Path) -> None:
    result = CliRunner().invoke(app, ["plan", "--config", "none.yaml"])
    assert result.exit_code == 1
    assert all(name in result.stderr for name in ("none.yaml: no such file", *shipped_configs()))


def test_the_samples_traces_are_found_from_any_folder(elsewhere: Path) -> None:
    build = load_config(shipped_configs()["sample.yaml"])
    assert build.source.paths == (str(SAMPLE),)
    (file,) = find_files(build.source)
    assert file.origin == "traces.jsonl"


def test_in_a_checkout_they_are_named_as_they_lie_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert local_path("shipped://sample/traces.jsonl") == "data/sample/traces.jsonl"


def test_traces_that_come_along_can_be_named_for_any_config(elsewhere: Path) -> None:
    config = shipped_configs()["teacher.yaml"]
    build = load_config(config, ["source.paths=[shipped://sample/traces.jsonl, hf://datasets/a/b]"])
    assert build.source.paths == (str(SAMPLE), "hf://datasets/a/b")
