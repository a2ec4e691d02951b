from pathlib import Path

import pytest

from pipeline.config import BuildConfig
from pipeline.config_file import ConfigError, known_keys, load_config, read_config
from pipeline.evaluate.config import EvaluateConfig
from pipeline.files.atomic import write_json
from pipeline.sft.config import SftConfig

CONFIGS = sorted((Path(__file__).parents[1] / "flows" / "configs").glob("*.yaml"))


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\npartition: {min_tokens: 300}\n")
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_that_come_along_are_valid(path):
    models = {"sft": SftConfig, "evaluate": EvaluateConfig}
    assert read_config(path, models.get(path.name.partition("-")[0], BuildConfig)).name


def test_an_unknown_key_is_refused_with_the_nearest_known_one(config):
    config.write_text("name: mine\npartition: {min_token: 300}\n")
    with pytest.raises(ConfigError) as error:
        load_config(config)
    assert str(error.value) == (
        f"{config}: unknown key 'partition.min_token' (did you mean 'partition.min_tokens'?)"
    )


def test_an_unknown_section_is_refused_too(config):
    config.write_text("name: mine\nsegment: {min_tokens: 300}\n")
    with pytest.raises(ConfigError, match="unknown key 'segment'"):
        load_config(config)


def test_every_mistake_is_told_at_once(config):
    config.write_text("partition: {min_tokens: -1, weight: heavy}\n")
    with pytest.raises(ConfigError) as error:
        load_config(config)
    assert [line.split(": ")[1].split(" (")[0] for line in str(error.value).splitlines()] == [
        "key 'name' is missing",
        "partition.min_tokens",
        "partition.weight",
    ]


def test_overrides_win_over_the_file(config):
    build = load_config(
        config, ["partition.min_tokens=150", "llm.endpoints=[http://a/v1]", "select.mix={math: 1}"]
    )
    assert build.partition.min_tokens == 150
    assert build.llm.endpoints == ("http://a/v1",)
    assert build.select.mix == {"math": 1.0}


@pytest.mark.parametrize("override", ["partition.min_tokens", "=3", "name.x=3"])
def test_an_override_of_another_form_is_refused(config, override):
    with pytest.raises(ConfigError, match="--set"):
        load_config(config, [override])


def test_an_unknown_override_is_refused(config):
    with pytest.raises(ConfigError, match=r"did you mean 'partition\.min_tokens'"):
        load_config(config, ["partition.mintokens=3"])


def test_a_mistake_is_blamed_on_the_file_or_on_the_command_line(config):
    config.write_text("name: mine\npartition: {weight: heavy}\n")
    with pytest.raises(ConfigError) as error:
        load_config(config, ["partition.min_tokens=-1", "llm.endpoints=[localhost]"])
    assert {tuple(line.split(": ")[:2]) for line in str(error.value).splitlines()} == {
        (str(config), "partition.weight"),
        ("command line", "partition.min_tokens"),
        ("command line", "llm.endpoints.0"),
    }


@pytest.mark.parametrize("text", ["- a\n", "a: [\n", ""])
def test_a_file_that_is_no_config_is_refused(config, text):
    config.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_config(config)


def test_a_missing_file_says_where_configs_are(tmp_path):
    with pytest.raises(ConfigError, match=r"by name: .*sample\.yaml"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "override",
    [
        "partition.max_tokens=100",
        "partition.weight=.inf",
        "llm.endpoints=[localhost:8000/v1]",
        "llm.endpoints=['http://user:secret@host/v1']",
    ],
)
def test_what_would_fail_in_the_middle_of_a_run_is_refused_before_it(config, override):
    with pytest.raises(ConfigError, match=override.split("=")[0].split(".")[0]):
        load_config(config, [override])


@pytest.mark.parametrize(
    "override",
    [
        "llm.endpoints=['http://me:hunter2@host/v1']",
        "llm.endpoints=['http://me:a/b-hunter2@host/v1']",
        "llm.endpoints=['http://me:a hunter2@x@host/v1']",
        "llm.endpoints=http://me:hunter2@host/v1",
        "llm.api_key_env=sk-hunter2",
        "llm.api_key_env=hf_hunter2",
    ],
)
def test_a_secret_in_the_config_is_refused_and_not_repeated(config, override):
    with pytest.raises(ConfigError) as refused:
        load_config(config, [override])
    assert "hunter2" not in str(refused.value)
    assert str(refused.value).startswith("command line: llm.")


def test_every_key_is_described():
    missing = [
        key
        for key in known_keys(BuildConfig)
        if "." in key and not _field(key).description and not _is_section(_field(key).annotation)
    ]
    assert missing == []


def _field(key: str):
    model = BuildConfig
    *sections, last = key.split(".")
    for section in sections:
        model = model.model_fields[section].annotation
    return model.model_fields[last]


def _is_section(annotation) -> bool:
    return isinstance(annotation, type) and hasattr(annotation, "model_fields")


def test_a_config_that_a_run_keeps_reads_back_as_it_was(tmp_path):
    build = BuildConfig(name="small", llm={"sampling": {"min_p": 0.00001}})
    kept = tmp_path / "config.json"
    write_json(build.model_dump(mode="json"), kept)
    assert load_config(kept) == build


def test_an_override_changes_only_what_it_names_of_what_yaml_wrote_once(tmp_path):
    path = tmp_path / "sft.yaml"
    path.write_text(
        "name: n\ndata: {dataset: d}\nmodel: {path: m}\nfull: &stage {batch: 4}\nmemento: *stage\n"
    )
    config = read_config(path, SftConfig, ["memento.batch=8"])
    assert (config.full.batch, config.memento.batch) == (4, 8)
