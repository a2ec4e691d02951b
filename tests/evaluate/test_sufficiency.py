"""Whether mementos are enough for the answer, asked of a model, and what a data set takes of a KV cache."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.evaluate.config import DatasetSection, EvaluateConfig
from pipeline.evaluate.dataset_kv import kv_of_traces, kv_table
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.evaluation import evaluate
from pipeline.evaluate.published import read_traces
from pipeline.evaluate.sufficiency import (
    ALL_MEMENTOS,
    CONDITIONS,
    ONE_MEMENTO,
    by_trace,
    standing_answers,
    stands,
    sufficiency_problems,
)
from pipeline.evaluate.sufficiency import MEMENTOS as MEMENTOS_BUT_THE_LAST
from pipeline.records.sufficiency import read_sufficiency
from tests.publish.test_quality import built, written
from tests.records.rows import memento, row
from tests.servers.stub_llm import StubLlm

# The first says the answer before its end, the second at its end only.
MEMENTOS = ([memento("It is 42."), memento("Done: 42.")], [memento("We add."), memento("It is 42.")])


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
    names = ("problem_only", "mementos", "all_mementos", "whole_trace", "stands", "stands_in_all")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (0, 1, 1, 1, True, True),
        (0, 0, 1, 1, False, True),
    ] * 2
    assert list(read_sufficiency(str(file)).values()) == [True, False, True, False]
    text = (tmp_path / "found" / "results.md").read_text()
    assert "| all | 4 | 0.0% | 50.0% | 100.0% | 100.0% | 2 | 50.0% | 100.0% |" in text
    assert "| m | 2 | 0.0% | 50.0% | 100.0% | 100.0% | 1 | 50.0% | 100.0% |" in text
    assert {each["task"] for each in report["results"]} == {*CONDITIONS}


def answered(*, before: bool, everywhere: bool) -> pa.Table:
    """Responses about a trace that is right, or not, with all mementos but the last, and with all."""
    told = {MEMENTOS_BUT_THE_LAST: before, ALL_MEMENTOS: everywhere}
    rows = [
        {"task": task, "problem": "d", "group": "m", "fault": "" if right else "wrong"}
        for task, right in told.items()
    ]
    return pa.Table.from_pylist(rows)


def test_the_last_memento_decides_nothing_unless_it_is_asked_for() -> None:
    table = answered(before=False, everywhere=True)
    for last_memento in (False, True):
        (row,) = by_trace(table, {"d": (False, True)}, last_memento=last_memento).to_pylist()
        assert row["sufficient"] is last_memento
        assert (row["mementos"], row["all_mementos"], row["problem_only"]) == (0, 1, None)
        assert (row["stands"], row["stands_in_all"]) == (False, True)
    half = pa.concat_tables([table, answered(before=True, everywhere=True)])
    found = by_trace(half, {}, last_memento=False)
    assert found["mementos"].to_pylist() == [0.5]
    assert found["sufficient"].to_pylist() == [False], "more often than not"


def shown(tmp_path: Path, mementos: list[str], **section: Any) -> dict[str, str]:
    """What a model is told of a trace with these mementos, by condition."""
    blocks = [
        (f"This is the long block {n} of a trace, longer than its memento. ",) for n in range(len(mementos))
    ]
    texts = [memento(text) for text in mementos]
    made = row("t0", problem="What?", answer="So \\boxed{9}.", blocks=blocks, mementos=texts)
    folder = written(tmp_path / "run", [made])
    built(folder, 1)
    asked = sufficiency_problems(DatasetSection(path=str(folder.root), **section), None)
    return {condition: its[0].prompt for condition, its in asked.problems.items() if its}


@pytest.mark.parametrize(("share", "seen"), [(1.0, 3), (0.75, 3), (0.5, 2), (0.01, 1)])
def test_so_many_mementos_are_shown_from_the_first_and_never_the_last(
    tmp_path: Path, share: float, seen: int
) -> None:
    prompts = shown(tmp_path, ["one.", "two.", "three.", "four."], first_blocks=share)
    words = ["one.", "two.", "three.", "four."]
    assert [word in prompts[MEMENTOS_BUT_THE_LAST] for word in words] == [n < seen for n in range(4)]
    assert all(word in prompts[ALL_MEMENTOS] for word in words)
    assert "long block" in prompts[CONDITIONS[-1]]
    assert "one." not in prompts[CONDITIONS[0]]


def test_a_trace_with_one_memento_is_not_asked_about_without_it(tmp_path: Path) -> None:
    prompts = shown(tmp_path, ["one."])
    assert prompts.keys() == {*CONDITIONS} - {MEMENTOS_BUT_THE_LAST}
    section = DatasetSection(path=str(tmp_path / "run"))
    assert sufficiency_problems(section, None).left_out == {ONE_MEMENTO: 1}
    assert list(standing_answers(section, None).values()) == [(False, False)]


@pytest.mark.parametrize(
    ("answer", "text", "is_there"),
    [
        ("42", "It is 42.", True),
        ("42", "It is 142 or 4.2 or 42.5.", False),
        ("\\frac{1}{2}", "So 0.5 is left.", True),
        ("0.5", "So \\frac{1}{2} is left.", True),
        ("1,000", "1000 of them", True),
        ("50\\%", "1/2 of them", True),
        ("-3", "x = 3", False),
        ("-3", "x = -3.0", True),
        ("x+1", "y = x + 1", True),
        ("x+1", "1 and x", False),
        ("4 or 5", "4", False),
        ("Paris", "in paris", True),
        ("42", "", False),
        ("1/0", "1/0", True),
        ("2", "1/2 of them", False),
        ("0", "1/0", False),
    ],
)
def test_an_answer_stands_as_it_is_written_or_as_the_same_number(
    answer: str, text: str, is_there: bool
) -> None:
    assert stands(answer, text) == is_there


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
