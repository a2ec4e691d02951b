"""Whether mementos are enough for the answer, asked of a model, and what a data set takes of a KV cache."""

import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.dataset_kv import kv_of_traces, kv_table
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.evaluation import evaluate
from pipeline.evaluate.published import read_traces
from pipeline.records.sufficiency import read_sufficiency
from tests.publish.test_quality import built, written
from tests.records.rows import memento, row
from tests.servers.stub_llm import StubLlm

# The first says the answer, the second does not.
MEMENTOS = ([memento("We add."), memento("It is 42.")], [memento("We add."), memento("Done.")])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rows = [
        row(
            f"t{n}", problem=f"problem {n}", answer=f"So \\boxed{{42}}. {n}", mementos=mementos, domain=domain
        )
        for n, (mementos, domain) in enumerate(zip(MEMENTOS * 2, "mmsc", strict=True))
    ]
    rows.append(row("t9", problem="problem 9", answer="No box.", domain="c"))
    folder = written(tmp_path / "run", rows)
    built(folder, 1)
    return folder.root


def reads_notes(body: dict[str, Any]) -> str:
    """Somebody who knows what the prompt says, and else guesses."""
    found = re.search(r"\b42\b", body["messages"][-1]["content"])
    return "\\boxed{42}" if found else "\\boxed{7}"


@pytest.mark.slow
def test_each_trace_is_asked_about_under_all_conditions(run: Path, tmp_path: Path) -> None:
    with StubLlm(answer=reads_notes) as stub:
        config = EvaluateConfig(models=(f"reader={stub.endpoint}",), dataset={"path": str(run)})
        report = evaluate(config, tmp_path / "found", lambda line: None)
        asked = len(stub.requests)
        evaluate(config, tmp_path / "found", lambda line: None)
        assert len(stub.requests) == asked, "nothing is asked twice"
    file = tmp_path / "found" / "sufficiency" / "reader.parquet"
    rows = pq.read_table(file).to_pylist()
    assert [(r["problem_only"], r["mementos"], r["whole_trace"]) for r in rows] == [(0, 1, 1), (0, 0, 1)] * 2
    assert list(read_sufficiency(str(file)).values()) == [True, False, True, False]
    text = (tmp_path / "found" / "results.md").read_text()
    assert "| all | 4 | 0.0% | 50.0% | 100.0% | 2 |" in text
    assert "| m | 2 | 0.0% | 50.0% | 100.0% | 1 |" in text
    assert {each["task"] for each in report["results"]} == {"problem only", "mementos", "whole trace"}


@pytest.mark.slow
def test_without_a_model_the_cache_alone_is_measured(run: Path, tmp_path: Path) -> None:
    evaluate(EvaluateConfig(dataset={"path": str(run)}), tmp_path / "found", lambda line: None)
    kv = pq.read_table(tmp_path / "found" / "kv.parquet").to_pylist()
    audit = pq.read_table(run / "publish" / "audit").to_pylist()
    assert [one["response_sha256"] for one in kv] == [one["response_sha256"] for one in audit]
    assert "| all | 5 |" in (tmp_path / "found" / "results.md").read_text()
    assert not (tmp_path / "found" / "sufficiency").exists()


def test_the_cache_is_counted_as_the_trace_is_written(run: Path) -> None:
    def words(texts: list[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    traces = list(read_traces(str(run), 2))
    table = kv_of_traces(traces, words)
    for trace, found in zip(traces, table.to_pylist(), strict=True):
        blocks, mementos = words(trace.parsed.blocks), words(trace.parsed.mementos)
        assert found["tokens"] == sum(blocks)
        # The most is held as a memento ends, its block and all mementos before it still there.
        held = [sum(mementos[:k]) + blocks[k] + mementos[k] for k in range(len(blocks))]
        assert found["peak_tokens"] == max(held)
    assert kv_table(table).count("\n") == 2


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match=r"nowhere: no such folder, and not the name of a data set"):
        list(read_traces("nowhere", None))
    with pytest.raises(EvaluateError, match=r"has no data/\*\.parquet"):
        list(read_traces(str(tmp_path), None))
