from pathlib import Path

import pytest

from pipeline.commands.options import build_config, made_run_folder
from pipeline.config import BuildConfig
from pipeline.config_file import ConfigError
from pipeline.run.store import StoreError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nllm: {model: of-the-file, max_in_flight: 3}\n")
    return path


def built(config: Path, *overrides: str) -> BuildConfig:
    return build_config(config, ["a.jsonl", "é: b.jsonl"], 5, ["http://a/v1"], "named", list(overrides))


def test_options_win_over_the_file_and_leave_the_rest(config):
    build = built(config)
    assert build.source.paths == ("a.jsonl", "é: b.jsonl")
    assert build.select.limit == 5
    assert build.llm.endpoints == ("http://a/v1",)
    assert (build.llm.model, build.llm.max_in_flight) == ("named", 3)


def test_options_that_are_not_given_change_nothing(config):
    build = build_config(config, None, None, None, None, None)
    assert (build.llm.model, build.llm.endpoints, build.select.limit) == ("of-the-file", (), None)


def test_set_wins_over_every_other_option(config):
    build = built(
        config,
        "source.paths=[c.jsonl]",
        "select.limit=9",
        "llm.endpoints=[http://b/v1]",
        "llm.model=set",
    )
    assert (build.source.paths, build.select.limit) == (("c.jsonl",), 9)
    assert (build.llm.endpoints, build.llm.model) == (("http://b/v1",), "set")


def test_a_value_that_an_option_may_not_have_is_a_mistake_of_the_config(config):
    with pytest.raises(ConfigError, match=r"llm\.endpoints.*localhost:8000"):
        build_config(config, None, None, ["localhost:8000"], None, None)


def test_a_run_folder_that_cannot_be_made_names_the_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/run: cannot be made \(Not a directory\); .*--run-dir"):
        made_run_folder(BuildConfig(name="n"), tmp_path / "file" / "run")
