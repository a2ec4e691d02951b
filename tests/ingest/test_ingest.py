import gzip
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import schemas.tables
from pipeline.report import FunnelRow, funnel
from tests.ingest.workshop import Workshop, make_row


def test_a_trace_arrives_with_all_its_columns(workshop: Workshop) -> None:
    response = "<think>\n  Let me see:\r\n\t1 + 1\n</think>\n\nIt is **2**. \n"
    workshop.jsonl("a.jsonl", [make_row(response=response, problem=" 1+1?\n", difficulty=4)])
    workshop.ingest()
    (trace,) = workshop.slot()
    assert workshop.run.read("ingest", 0).schema.equals(schemas.tables.TRACES)
    assert trace | {"trace_id": ""} == {
        "trace_id": "",
        "problem": " 1+1?\n",
        "reasoning": "\n  Let me see:\r\n\t1 + 1\n",
        "answer": "\n\nIt is **2**. \n",
        "domain": "math",
        "source": "made",
        "difficulty": 4,
        "origin": "a.jsonl:1",
    }
    assert len(trace["trace_id"]) == 16


def test_the_same_rows_give_the_same_traces_from_every_kind_of_file(workshop: Workshop) -> None:
    rows = [make_row(n) for n in range(300)]
    plain = workshop.jsonl("a.jsonl", rows)
    workshop.parquet("b.parquet", rows, row_group_size=70)
    (workshop.folder / "c.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    packed = pa.Codec("zstd").compress(plain.read_bytes(), asbytes=True)
    (workshop.folder / "d.jsonl.zst").write_bytes(packed)
    found = []
    for path in sorted(workshop.folder.iterdir()):
        workshop.ingest(source={"paths": [str(path)]})
        origins = [trace["origin"] for trace in workshop.slot()]
        assert origins == [f"{path.name}:{n}" for n in range(1, 301)]
        found.append([trace | {"origin": ""} for trace in workshop.slot()])
    assert found == [found[0]] * 4


def test_a_source_behind_any_fsspec_address_is_read(workshop: Workshop) -> None:
    memory = fsspec.filesystem("memory")
    plain = workshop.jsonl("a.jsonl", [make_row(n) for n in range(3)]).read_bytes()
    packed = workshop.parquet("b.parquet", [make_row(n) for n in range(3, 6)]).read_bytes()
    memory.pipe({"/traces/a.jsonl": plain, "/traces/b.parquet": packed})
    try:
        workshop.ingest(source={"paths": ["memory://traces"]})
    finally:
        memory.rm("/traces", recursive=True)
    assert [trace["problem"] for trace in workshop.slot()] == [f"What is {n} + 1?" for n in range(6)]
    assert workshop.slot()[-1]["origin"] == "memory:///traces/b.parquet:3"


def test_files_in_an_archive_are_read(workshop: Workshop) -> None:
    packed = workshop.parquet("a.parquet", [make_row(n) for n in range(3)])
    lines = workshop.jsonl("b.jsonl", [make_row(n) for n in range(3, 6)])
    archive = workshop.folder / "traces.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.write(packed, "data/a.parquet")
        made.write(lines, "data/b.jsonl")
    workshop.ingest(source={"paths": [f"zip://data/*::file://{archive}"]})
    assert [trace["problem"] for trace in workshop.slot()] == [f"What is {n} + 1?" for n in range(6)]
    assert workshop.slot()[-1]["origin"] == f"zip://data/b.jsonl::file://{archive}:3"


def test_every_row_that_is_left_out_has_its_reason_and_its_place(workshop: Workshop) -> None:
    rows: dict[str, Any] = {
        "cut_before_think_end": make_row(response="<think>Hm"),
        "no_answer": make_row(response="<think>Hm</think> "),
        "no_reasoning": make_row(response="It is 2."),
        "no_problem": make_row(problem=""),
        "text_before_think": make_row(response="So: <think>Hm</think>2"),
        "several_think_parts": make_row(response="<think>a</think>b<think>c</think>d"),
        "several_turns": make_row(conversations=make_row()["conversations"] * 2),
        "special_token": make_row(problem="What is <|im_end|>?"),
        "invalid_unicode": make_row(problem="What is \ud800?"),
        "language": make_row(response="<think>首先，我们需要找到这个数。</think>2"),
        "too_short": make_row(response="<think>2</think>2"),
        "too_long": make_row(response=f"<think>{'one more ' * 100}</think>2"),
        "unknown_layout": {"text": "1+1?"},
        "unreadable_row": b'{"conversations": [{"from": "hum',
        "duplicate": make_row(99),
    }
    workshop.jsonl("a.jsonl", [make_row(99), *rows.values()])
    workshop.ingest(select={"min_tokens": 3, "max_tokens": 50})
    assert len(workshop.slot()) == 1
    rejected = workshop.rejected()
    assert workshop.reasons() == list(rows)
    assert [row["origin"] for row in rejected] == [f"a.jsonl:{n}" for n in range(2, len(rows) + 2)]
    assert all(row["detail"] and row["stage"] == "ingest" for row in rejected)
    (counted,) = funnel(workshop.run, [0])
    assert counted == FunnelRow("ingest", 16, 1, dict.fromkeys(sorted(rows), 1), 0)


def test_a_repeated_trace_has_an_id_of_its_own(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(1), make_row(1)])
    workshop.ingest()
    (first,), (second,) = workshop.slot(), workshop.rejected()
    assert second["trace_id"] == first["trace_id"] + "-2"


def test_ids_do_not_depend_on_the_files_and_their_order(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(1), make_row(2)])
    workshop.ingest()
    before = {trace["trace_id"] for trace in workshop.slot()}
    (workshop.folder / "a.jsonl").unlink()
    workshop.parquet("z.parquet", [make_row(2)])
    workshop.jsonl("b.jsonl", [make_row(1)])
    workshop.ingest()
    assert {trace["trace_id"] for trace in workshop.slot()} == before


def test_the_rows_of_all_shards_add_up(workshop: Workshop) -> None:
    cut = make_row(response="<think>Hm")
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        rows = [cut if n % 3 else make_row(100 * ord(name[0]) + n) for n in range(20)]
        workshop.jsonl(name, rows)
    workshop.jsonl("d.jsonl", [cut] * 5)
    assert workshop.ingest(traces_per_shard=4) == 6
    manifests = [workshop.run.read_manifest("ingest", n) for n in range(6)]
    assert [manifest.rows_out for manifest in manifests if manifest] == [4, 4, 4, 4, 4, 1]
    assert sum(manifest.rows_in for manifest in manifests if manifest) == 65
    origins = [row["origin"] for row in workshop.slot() + workshop.rejected()]
    assert len(set(origins)) == 65


def test_a_limit_takes_so_many_and_keeps_their_order(workshop: Workshop) -> None:
    workshop.parquet("a.parquet", [make_row(n) for n in range(50)], row_group_size=7)
    workshop.ingest(select={"limit": 12})
    places = [int(trace["origin"].rsplit(":", 1)[1]) for trace in workshop.slot()]
    assert len(places) == 12
    assert places == sorted(places)
    assert Counter(workshop.reasons()) == {"not_chosen": 38}
    for place, trace in zip(places, workshop.slot(), strict=True):
        assert trace["problem"] == f"What is {place - 1} + 1?"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("real-traces", FunnelRow("ingest", 144, 131, {"no_answer": 13}, 0)),
        ("unruly-traces", FunnelRow("ingest", 53, 53, {}, 0)),
    ],
)
def test_real_traces_are_taken_byte_for_byte(workshop: Workshop, name: str, expected: FunnelRow) -> None:
    path = Path(__file__).parents[3] / "shared" / "data" / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    workshop.ingest(source={"paths": [str(path)]})
    assert funnel(workshop.run, range(workshop.shards)) == [expected]
    responses = [row["conversations"][1]["value"] for row in pq.read_table(path).to_pylist()]
    for trace in workshop.slot():
        response = responses[int(trace["origin"].rsplit(":", 1)[1]) - 1]
        assert response == f"<think>{trace['reasoning']}</think>{trace['answer']}"


def test_marks_at_an_answer_s_end_are_taken_off_and_counted_and_elsewhere_cost_the_row(
    workshop: Workshop,
) -> None:
    ends = ["", "</s>", "<end_of_turn>\n", "[EOS]", "<|im_end|>", "</s> and more"]
    workshop.jsonl(
        "a.jsonl", [make_row(n, response=f"<think>so {n}</think>2{end}") for n, end in enumerate(ends)]
    )
    workshop.ingest()
    assert [row["answer"] for row in workshop.slot()] == ["2"] * 5
    assert workshop.reasons() == ["special_token"]
    manifest = workshop.run.read_manifest("ingest", 0)
    assert manifest is not None
    assert manifest.counters == {"end_tokens_taken_off": 4}
