"""`openmementos sft` as a user runs it, on data and a model that take seconds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.flows.conftest import ROOT
from tests.servers.hub import Hub

pytestmark = pytest.mark.slow
TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {
        "register_machine": {"kind": "stated", "sizes": [[2, 2, 60]]},
        "held_out": 0.2,
        "max_tokens": 80,
    },
    "model": {"scratch": {"layers": 1, "width": 16, "heads": 2, "kv_heads": 1}},
    "full": {"max_steps": 4, "batch": 4, "evaluations": 1},
    "memento": {"max_steps": 4, "batch": 4, "evaluations": 1},
    "check": {"problems": 2, "problems_between": 1, "new_tokens": 20},
}


@pytest.fixture
def sft(prefect_server, tmp_path):
    def run(
        *arguments: str, environment: dict[str, str] | None = None, **changes: Any
    ) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(TINY | changes))
        command = [sys.executable, "-m", "pipeline", "sft", "-c", str(path), "-r", str(tmp_path / "run")]
        told = prefect_server.environment | (environment or {})
        return subprocess.run(
            [*command, *arguments], env=told, cwd=ROOT, capture_output=True, text=True, timeout=240
        )

    return run


def test_a_model_a_card_and_a_report_come_out_and_go_to_the_hub(sft, tmp_path) -> None:
    with Hub() as hub:
        environment = {**hub.environment, "HF_HOME": str(tmp_path / "home")}
        done = sft("--json", environment=environment, push_to="org/tiny")
        assert done.returncode == 0, done.stderr
        uploaded = hub.files("org/tiny", kind="model")
    report = json.loads(done.stdout)
    assert set(report["stages"]) == {"full", "memento"}
    assert "stage 2, memento attention: step" in done.stderr
    model = Path(report["model"])
    card = (model / "README.md").read_text()
    assert report["data"]["revision"] in card
    assert (tmp_path / "run" / "untrained" / "model" / "config.json").is_file()
    assert f"{report['stages']['memento']['format_rate']:.1%} of 2" in card
    wanted = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"}
    assert wanted | {"generation_config.json", "figures/losses.png"} <= set(uploaded)


def test_a_dry_run_tells_steps_memory_and_hours_and_trains_nothing(sft, tmp_path) -> None:
    done = sft("--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [stage["steps"] for stage in told["stages"]] == [4, 4]
    assert set(told["memory_bytes_per_device"]) == {"1", "8", "32"}
    assert "packs in 1 size, " in told["stages"][0]["shapes"]
    assert not (tmp_path / "run" / "full").exists()


def folder_of(tmp_path: Path, **columns: list[str]) -> str:
    (tmp_path / "set" / "data").mkdir(parents=True)
    pq.write_table(pa.table(columns), tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
    return str(tmp_path / "set")


def test_what_cannot_be_trained_says_why_and_what_to_do_in_a_line(sft, tmp_path) -> None:
    plain = folder_of(tmp_path, problem=[f"{n} " for n in range(40)], response=["<think>1 </think>1 "] * 40)
    cases = {
        "rows none is left (": {"data": {"dataset": plain, "held_out": 0.2}},
        "no such folder": {"data": {"dataset": "/nowhere"}},
        "first block does not fit": {"data": TINY["data"] | {"max_tokens": 16}},
        "name either path or scratch": {"model": {}},
        "cannot be read": {"model": {"path": str(tmp_path)}},
    }
    for said, changes in cases.items():
        done = sft("--dry-run", **changes)
        assert done.returncode == 1, said
        (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
        assert said in line
