"""A released dataset in the hands of those who use it: every library reads it over real HTTP.

One process of its own per library: where the Hub is, they read from the environment when they are imported.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import BuildConfig
from pipeline.publish import publish
from tests.publish.conftest import NAME
from tests.records.rows import BLOCKS, MEMENTOS, row
from tests.report.runs import finished_run
from tests.servers.hub import Fault, Hub

pytestmark = pytest.mark.slow
ROWS = 40


class Consumer:
    """Runs commands and programs for which the local Hub is the Hub."""

    def __init__(self, hub: Hub, run: Path, folder: Path) -> None:
        self.hub, self.run = hub, run
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            **hub.environment,
            "HF_HOME": str(folder),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    def command(self, *arguments: str, both: bool = False) -> str:
        """What the command prints; both: on standard output and on standard error."""
        done = subprocess.run(
            [sys.executable, *arguments], env=self._environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr if both else done.stdout

    def program(self, text: str) -> object:
        """What the program prints last, as JSON."""
        return json.loads(self.command("-c", text).splitlines()[-1])


@pytest.fixture(scope="module")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consumer]:
    folder = tmp_path_factory.mktemp("consumers")
    run = finished_run(folder / "run", [row(f"t{number}") for number in range(ROWS)])
    publish(run, [0], BuildConfig(name="handmade"), prompts=["compress@1"], models=("writer", "judge"))
    with Hub() as hub:
        consumer = Consumer(hub, run.root, folder / "home")
        told = consumer.command(
            "-m", "pipeline", "publish", str(run.root), "--to", NAME, "--tag", "v1", "--json"
        )
        assert json.loads(told)["tag"] == "v1"
        yield consumer


@pytest.mark.exhaustive
def test_the_command_prints_the_address_and_a_second_time_says_nothing_is_new(consumer, tmp_path) -> None:
    run = finished_run(tmp_path / "run", [row("t0")])
    publish(run, [0], BuildConfig(name="handmade"), prompts=["compress@1"], models=("writer", "judge"))
    told = ["-m", "pipeline", "publish", str(run.root), "--to", "org/another", "--tag", "v1"]
    assert f"{consumer.hub.url}/datasets/org/another/tree/v1" in consumer.command(*told)
    seen = len(consumer.hub.seen)
    consumer.command(*told)
    assert not [asked for asked in consumer.hub.seen[seen:] if "/commit/" in asked]


@pytest.mark.parametrize("revision", ["main", "v1"])
def test_load_dataset_gives_every_configuration(consumer: Consumer, revision: str) -> None:
    found = consumer.program(f"""
import json
from datasets import load_dataset
rows = {{name: load_dataset({NAME!r}, name, split="train", revision={revision!r})
        for name in ("default", "full", "audit")}}
print(json.dumps({{name: [len(table), table.column_names] for name, table in rows.items()}}))
""")
    assert {name: rows for name, (rows, _) in found.items()} == {"default": ROWS, "full": ROWS, "audit": ROWS}
    assert found["default"][1] == ["problem", "response", "domain", "source", "difficulty"]
    assert found["full"][1][5:] == ["sentences", "blocks", "block_summaries"]


@pytest.mark.parametrize("revision", ["main", "v1"])
def test_streaming_gives_every_configuration_and_the_rows_of_the_table(
    consumer: Consumer, revision: str
) -> None:
    found = consumer.program(f"""
import json
from datasets import load_dataset
same = {{}}
for name in ("default", "full", "audit"):
    options = dict(split="train", revision={revision!r})
    streamed = list(load_dataset({NAME!r}, name, streaming=True, **options))
    same[name] = [len(streamed), streamed == list(load_dataset({NAME!r}, name, **options))]
print(json.dumps(same))
""")
    assert found == {name: [ROWS, True] for name in ("default", "full", "audit")}


@pytest.mark.exhaustive
def test_no_token_is_needed_to_read_nor_ever_shown(consumer: Consumer, tmp_path: Path) -> None:
    told = consumer.command("-m", "pipeline", "publish", str(consumer.run), "--to", NAME, both=True)
    told += consumer.command(
        "-m", "pipeline", "publish", str(consumer.run), "--to", "org/secretive", "--json", both=True
    )
    consumer.hub.faults = [Fault("/commit/", 429, headers={"Retry-After": "0"})]
    told += consumer.command("-m", "pipeline", "publish", str(consumer.run), "--to", "org/busy", both=True)
    assert "asking again" in told
    assert consumer.hub.token not in told
    files = [path.read_bytes() for path in consumer.run.rglob("*") if path.is_file()]
    files += [data for name in (NAME, "org/busy") for data in consumer.hub.files(name).values()]
    assert not [data for data in files if consumer.hub.token.encode() in data]
    assert (
        consumer.program(
            f"import json, os\nos.environ.pop('HF_TOKEN')\nfrom datasets import load_dataset\n"
            f"print(json.dumps(len(load_dataset({NAME!r}, split='train', token=False))))"
        )
        == ROWS
    )


def test_the_regular_expressions_of_the_field_parse_a_streamed_response(consumer: Consumer) -> None:
    blocks, mementos, thoughts = consumer.program(rf"""
import json, re
from datasets import load_dataset
text = next(iter(load_dataset({NAME!r}, split="train", streaming=True)))["response"]
print(json.dumps([
    re.findall(r"<\|block_start\|>(.*?)<\|block_end\|>", text, re.DOTALL),
    re.findall(r"<\|summary_start\|>(.*?)<\|summary_end\|>", text, re.DOTALL),
    len(re.findall(r"<think>(.*?)</think>", text, re.DOTALL))]))
""")
    assert [block.strip() for block in blocks] == ["".join(block).strip() for block in BLOCKS]
    assert [memento.strip() for memento in mementos] == list(MEMENTOS)
    assert thoughts == 1


def test_hf_download_fetches_all_files(consumer: Consumer, tmp_path: Path) -> None:
    consumer.command(
        "-m", "huggingface_hub.cli.hf", "download", NAME, "--repo-type", "dataset", "--revision", "v1",
        "--local-dir", str(tmp_path),
    )  # fmt: skip
    got = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert {path: data for path, data in got.items() if not path.startswith(".cache")} == (
        consumer.hub.files(NAME)
    )


# Where pyarrow's threads still hold a Python file when the interpreter ends, the process may abort after its
# answer (9 of 25 times on two cores); without threads it reads the same over the same wire.
READERS = {
    "HfFileSystem and pyarrow": f"""
import json, pyarrow.parquet as pq
from huggingface_hub import HfFileSystem
fs = HfFileSystem()
(path,) = fs.glob("datasets/{NAME}@v1/data/*.parquet")
print(json.dumps(pq.read_table(path, filesystem=fs, use_threads=False, pre_buffer=False).num_rows))
""",
    "polars": f"""
import json, polars as pl
from huggingface_hub import HfFileSystem
fs = HfFileSystem()
(path,) = fs.glob("datasets/{NAME}/full/*.parquet")
with fs.open(path) as file:
    print(json.dumps(pl.read_parquet(file, columns=["blocks"]).height))
""",
    "polars over plain HTTP": f"""
import json, os, polars as pl
address = os.environ["HF_ENDPOINT"] + "/datasets/{NAME}/resolve/v1/full/train-00000-of-00001.parquet"
print(json.dumps(pl.scan_parquet(address).filter(pl.col("domain") == "math").collect().height))
""",
    "pandas": f"""
import json, pandas as pd
address = "hf://datasets/{NAME}/audit/train-00000-of-00001.parquet"
print(json.dumps(len(pd.read_parquet(address, use_threads=False, pre_buffer=False))))
""",
    "DuckDB": f"""
import json, duckdb
from huggingface_hub import HfFileSystem
duckdb.register_filesystem(HfFileSystem())
found = duckdb.sql("select count(*) from 'hf://datasets/{NAME}/data/*.parquet' where domain = 'math'")
print(json.dumps(found.fetchall()[0][0]))
""",
}


@pytest.mark.parametrize("library", READERS)
def test_tables_are_read_over_the_wire(consumer: Consumer, library: str) -> None:
    assert consumer.program(READERS[library]) == ROWS


def test_a_source_on_the_hub_is_read_at_its_revision(consumer: Consumer) -> None:
    rows, origin = consumer.program(f"""
import json, tempfile
from pathlib import Path
from pipeline.config import BuildConfig
from pipeline.ingest import ingest
from pipeline.run.store import RunFolder
run = RunFolder(Path(tempfile.mkdtemp()))
build = BuildConfig(name="again", source={{"paths": ["hf://datasets/{NAME}/data"], "revision": "v1"}},
                    select={{"languages": "any"}})
shards = ingest(build, run, lambda read, total: None)
manifests = [run.read_manifest("ingest", shard) for shard in range(shards)]
import pyarrow.parquet as pq
rejected = [row for path in (run.root / "rejected").glob("*") for row in pq.read_table(path).to_pylist()]
print(json.dumps([sum(m.rows_in for m in manifests), rejected[0]["origin"]]))
""")
    # Published rows hold special tokens, so none is fit to be a source; all are found and named.
    assert rows == ROWS
    assert origin.startswith(f"hf://datasets/{NAME}@v1/data/train-00000-of-00001.parquet")


def test_trl_trains_on_a_conversational_view(consumer: Consumer, tmp_path: Path) -> None:
    loss, steps = consumer.program(f"""
import json, torch
from datasets import load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer
rows = load_dataset({NAME!r}, split="train[:8]").map(
    lambda row: {{"messages": [{{"role": "user", "content": row["problem"]}},
                               {{"role": "assistant", "content": row["response"]}}]}},
    remove_columns=["problem", "response", "domain", "source", "difficulty"])
words = sorted({{word for row in rows for turn in row["messages"] for word in turn["content"].split()}})
ids = {{word: number for number, word in enumerate(["<unk>", "<pad>", "<eos>", *words])}}
inner = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>", eos_token="<eos>")
tokenizer.chat_template = "{{% for m in messages %}}{{{{ m.role }}}} {{{{ m.content }}}} <eos> {{% endfor %}}"
model = LlamaForCausalLM(LlamaConfig(vocab_size=len(ids), hidden_size=16, intermediate_size=16,
                                     num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2))
config = SFTConfig(output_dir={str(tmp_path)!r}, max_steps=2, per_device_train_batch_size=2, report_to="none",
                   use_cpu=True, bf16=False, save_strategy="no", disable_tqdm=True)
done = SFTTrainer(model=model, args=config, train_dataset=rows, processing_class=tokenizer).train()
print(json.dumps([done.training_loss, done.global_step]))
""")
    assert steps == 2
    assert 0 < loss < 20


def test_the_quick_start_of_the_released_card_runs_as_it_stands(consumer: Consumer) -> None:
    card = consumer.hub.files(NAME)["README.md"].decode()
    quick_start, parsing = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    found = consumer.program(
        f"{quick_start}\n{parsing}\nimport json\n"
        "print(json.dumps([len(rows), len(full), len(audit), len(blocks), len(mementos), answer]))"
    )
    assert found[:5] == [ROWS, ROWS, ROWS, len(BLOCKS), len(MEMENTOS)]
    assert found[5]
