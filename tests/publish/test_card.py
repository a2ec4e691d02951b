"""The card: what the Hub reads in it, and that its numbers are the data's."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.config import BuildConfig, PublishConfig, SamplingConfig, SourceConfig
from pipeline.publish import publish
from tests.records.rows import memento, row
from tests.report.runs import finished_run


def card(tmp_path: Path, *rows: dict[str, Any], refused: tuple[str, ...] = (), **options: Any) -> str:
    run = finished_run(tmp_path / "run", rows, refused=refused)
    config = BuildConfig(name="handmade", **options.pop("config", {}))
    models = options.pop("models", ("writer-8b", "judge-32b"))
    folder = publish(run, [0], config, prompts=["compress@3"], models=models).folder
    return (folder / "README.md").read_text(encoding="utf-8")


def front_matter(text: str) -> dict[str, Any]:
    _, matter, _ = text.split("---\n", 2)
    loaded: dict[str, Any] = yaml.safe_load(matter)
    return loaded


def test_the_hub_finds_configurations_licence_language_and_size(tmp_path: Path) -> None:
    config = {
        "publish": PublishConfig(license="mit", pretty_name="Some mementos", language=("en", "de")),
        "source": SourceConfig(paths=("hf://datasets/open-thoughts/OpenThoughts3-1.2M/data/*.parquet",)),
    }
    matter = front_matter(card(tmp_path, row(), config=config))
    assert matter["license"] == "mit"
    assert matter["language"] == ["en", "de"]
    assert matter["pretty_name"] == "Some mementos"
    assert matter["size_categories"] == ["n<1K"]
    assert matter["task_categories"] == ["text-generation"]
    assert matter["source_datasets"] == ["open-thoughts/OpenThoughts3-1.2M"]
    assert {"memento", "reasoning", "chain-of-thought", "kv-cache"} <= set(matter["tags"])
    assert matter["configs"] == [
        {
            "config_name": "default",
            "default": True,
            "data_files": [{"split": "train", "path": "data/train-*"}],
        },
        {"config_name": "full", "data_files": [{"split": "train", "path": "full/train-*"}]},
        {"config_name": "audit", "data_files": [{"split": "train", "path": "audit/train-*"}]},
    ]


def test_the_card_names_the_languages_that_the_data_is_in(tmp_path: Path) -> None:
    german = row("de", blocks=[("Wir suchen die Summe, und das ist nicht die Zahl 30, also ist es 42. ",)])
    german["mementos"] = [memento("Es ist 42.")]
    text = card(tmp_path / "a", row("a"), row("b"), german)
    assert front_matter(text)["language"] == ["en", "de"]
    assert "en (66.7% of the rows), de (33.3% of the rows)" in text
    text = card(tmp_path / "b", row("a"))
    assert front_matter(text)["language"] == ["en"]
    assert "Languages of the reasoning" not in text


def test_dataset_info_has_the_rows_and_bytes_of_the_files(tmp_path: Path) -> None:
    matter = front_matter(card(tmp_path, row("t0"), row("t1")))
    infos = {info["config_name"]: info for info in matter["dataset_info"]}
    for name, folder in (("default", "data"), ("full", "full"), ("audit", "audit")):
        files = (tmp_path / "run/publish" / folder).iterdir()
        assert infos[name]["splits"][0]["num_examples"] == 2
        assert infos[name]["download_size"] == sum(path.stat().st_size for path in files)


def test_a_dataset_without_a_licence_says_so_and_names_none(tmp_path: Path) -> None:
    publish_config = PublishConfig(license="mit").model_copy(update={"license": None})
    text = card(tmp_path, row(), config={"publish": publish_config})
    assert "license" not in front_matter(text)
    assert "No licence is stated for this dataset." in text
    assert "None" not in text


def test_mementos_without_a_finding_are_said_to_pass(tmp_path: Path) -> None:
    assert "Every memento passes all checks of form and faithfulness." in card(tmp_path, row())


SETTINGS = [
    ("source", "revision", "v1.2"),
    ("llm", "seed", 4711),
    ("llm", "max_attempts", 17),
    ("llm", "sampling", SamplingConfig(top_k=20).model_dump()),
    ("llm", "extra_body", {"chat_template_kwargs": {"enable_thinking": False}}),
]


@pytest.mark.parametrize(("section", "key", "value"), SETTINGS)
def test_whatever_shapes_the_replies_stands_on_the_card(
    tmp_path: Path, section: str, key: str, value: Any
) -> None:
    text = card(tmp_path, row(), config={section: {key: value}})
    settings = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert settings[section][key] == value


def test_figures_of_the_data_stand_in_the_tables(tmp_path: Path) -> None:
    short = [memento("a", tokens=5, scores=(9,)), memento("b", tokens=5, scores=(6, 7), checks=["heading"])]
    text = card(
        tmp_path,
        row("t0", mementos=short, block_tokens=[1030, 10]),
        row("t1", domain="code|x", mementos=short, block_tokens=[20, 60]),
        refused=("language", "language", "no_answer"),
    )
    assert "| code\\|x | 1 | 4 | 2.0 (2) | 40 (40) | 5 (5) | 80 → 10 | 8.0x |" in text
    assert "| all | 2 | 4 | 2.0 (2) | 280 (40) | 5 (5) | 560 → 10 | 56.0x |" in text
    assert "| all | 8.0 | 50.0% | 50.0% |" in text
    assert "| check | code\\|x | math | all |" in text
    assert "| `heading` | 1 (50.0%) | 1 (50.0%) | 2 (50.0%) |" in text
    assert "Of 5 traces, 2 are published." in text
    assert "| ingest | another language | 2 |" in text
    assert "| ingest | no answer after the reasoning | 1 |" in text
    assert "`writer-8b` wrote the mementos, and `judge-32b` judged them" in text
    assert "`compress@3`" in text
    assert "50.0% of the mementos stay below the judge's threshold" in text


def test_the_kv_cache_of_named_models_is_that_of_the_blocks_and_mementos(tmp_path: Path) -> None:
    short = [memento("a", tokens=5), memento("b", tokens=5)]
    text = card(tmp_path, row(mementos=short, block_tokens=[1000, 500]))
    # 144 KiB per token; at most 1,005 of 1,500 tokens are held, and 635,050 of 1,125,000 in the area.
    assert "| Qwen3-8B | 221 MB | 148 MB | 1.5x | 0.166 GB·kt | 0.0936 GB·kt | 1.8x |" in text


def test_blocks_over_the_maximum_and_a_bound_on_them_are_told(tmp_path: Path) -> None:
    long = row("long", block_tokens=[120, 400])
    told = "1 blocks have more than 300 tokens (`partition.max_tokens`)"
    assert told in card(tmp_path / "a", row(), long, config={"partition": {"max_tokens": 300}})
    assert "(`partition.max_tokens`)" not in card(tmp_path / "b", row(), long)
    bounded = card(tmp_path / "c", row(), config={"publish": PublishConfig(max_block_tokens=500)})
    assert "whose blocks all have 500 tokens or fewer" in bounded


def test_a_verified_source_is_not_said_to_be_unchecked(tmp_path: Path) -> None:
    unchecked = "Whether the problems' answers are right was not checked"
    assert unchecked in card(tmp_path / "a", row())
    verified = card(tmp_path / "b", row(), config={"source": {"columns": {"verified": "correct"}}})
    assert unchecked not in verified
    assert "the source's own verifier confirms" in verified


def test_every_figure_of_the_card_is_there(tmp_path: Path) -> None:
    text = card(tmp_path, row())
    folder = tmp_path / "run/publish"
    for picture in (folder / "figures").iterdir():
        assert f"](figures/{picture.name})" in text
    assert text.count("](figures/") == 5


@pytest.mark.parametrize("model", ["bundled", "SmolLM2-135M-Instruct"])
def test_the_bundled_model_is_owned_up_to(tmp_path: Path, model: str) -> None:
    assert "not training data" in card(tmp_path, row(), models=(model, model))


def test_a_real_model_is_no_demonstration(tmp_path: Path) -> None:
    assert "demonstration" not in card(tmp_path, row())


def test_nothing_of_the_builders_machine_stands_in_the_card(tmp_path: Path) -> None:
    config = {
        "source": SourceConfig(paths=("/home/someone/private/traces.jsonl",)),
        "select": {"decontaminate": ("/home/someone/private/aime.jsonl",)},
    }
    text = card(tmp_path, row(), config=config, models=("/home/someone/models/qwen", "~someone/judge"))
    assert "`traces.jsonl`" in text
    assert "`qwen` wrote the mementos, and `judge` judged them" in text
    assert pq.read_table(tmp_path / "run/publish/audit")["model"].to_pylist() == ["qwen"]
    assert "someone" not in text
    assert str(tmp_path) not in text


def test_odd_names_leave_the_card_whole(tmp_path: Path) -> None:
    config = {
        "publish": {"pretty_name": 'A: "b" # c\n---\n# d'},
        "source": {"paths": ["a`b|c.jsonl"], "name": "my *data* / [x](y)"},
    }
    text = card(tmp_path / "named", row(domain="`<b>`|\n"), config=config, models=("org/m`odel", "judge"))
    assert front_matter(text)["pretty_name"] == 'A: "b" # c --- # d'
    assert '\n# A: "b" # c --- # d\n' in text
    assert "from `my *data* / [x](y)` were" in text
    assert "`` org/m`odel `` wrote the mementos" in text
    assert "| `&lt;b&gt;`\\| | 1 |" in text
    assert "`` a`b|c.jsonl ``" in card(
        tmp_path / "local", row(), config={"source": {"paths": ["a`b|c.jsonl"]}}
    )


def test_a_card_without_rows_has_no_invented_number(tmp_path: Path) -> None:
    text = card(tmp_path, refused=("language",))
    assert "| all | 0 | – | – (–) | – (–) | – (–) | – → – | –x |" in text
    assert "Of 1 traces, 0 are published." in text
    assert "passes all checks" not in text
    assert "None" not in text
    assert "nan" not in text
