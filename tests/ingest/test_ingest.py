import gzip
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import schemas.tables
from pipeline.ingest import SourceError
from pipeline.report import FunnelRow, funnel
from tests.ingest.workshop import Workshop, make_row


def test_a_trace_arrives_with_all_its_columns(workshop: Workshop) -> None:
    response = "<think>\n  Let me see:\r\n\t1 + 1\n</think>\n\nIt is **2**. \n"
    workshop.jsonl("a.jsonl", [make_row(response=response, problem=" 1+1?\n", difficulty=4)])
    workshop.ingest()
    (trace,) = workshop.taken()
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
        origins = [trace["origin"] for trace in workshop.taken()]
        assert origins == [f"{path.name}:{n}" for n in range(1, 301)]
        found.append([trace | {"origin": ""} for trace in workshop.taken()])
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
    assert [trace["problem"] for trace in workshop.taken()] == [f"What is {n} + 1?" for n in range(6)]
    assert workshop.taken()[-1]["origin"] == "memory:///traces/b.parquet:3"


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
    assert len(workshop.taken()) == 1
    rejected = workshop.rejected()
    assert workshop.reasons() == list(rows)
    assert [row["origin"] for row in rejected] == [f"a.jsonl:{n}" for n in range(2, len(rows) + 2)]
    assert all(row["detail"] and row["stage"] == "ingest" for row in rejected)
    (counted,) = funnel(workshop.run, [0])
    assert counted == FunnelRow("ingest", 16, 1, dict.fromkeys(sorted(rows), 1), 0)


def test_a_repeated_trace_has_an_id_of_its_own(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(1), make_row(1)])
    workshop.ingest()
    (first,), (second,) = workshop.taken(), workshop.rejected()
    assert second["trace_id"] == first["trace_id"] + "-2"


def test_ids_do_not_depend_on_the_files_and_their_order(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(1), make_row(2)])
    workshop.ingest()
    before = {trace["trace_id"] for trace in workshop.taken()}
    (workshop.folder / "a.jsonl").unlink()
    workshop.parquet("z.parquet", [make_row(2)])
    workshop.jsonl("b.jsonl", [make_row(1)])
    workshop.ingest()
    assert {trace["trace_id"] for trace in workshop.taken()} == before


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def misnamed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"difficulty", b"diff\xffculty"))


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncated, misnamed, overwritten])
def test_a_broken_parquet_file_is_one_counted_rejection(
    workshop: Workshop, damage: Callable[[Path], None]
) -> None:
    workshop.parquet("a.parquet", [make_row(1)])
    broken = workshop.parquet("b.parquet", [make_row(n) for n in range(50)])
    damage(broken)
    workshop.ingest()
    assert len(workshop.taken()) == 1
    (rejected,) = workshop.rejected()
    assert (rejected["trace_id"], rejected["origin"]) == ("", "b.parquet")
    assert rejected["reason"] == "unreadable_file"
    assert rejected["detail"]


@pytest.mark.parametrize("trouble", [pa.ArrowMemoryError, pa.ArrowCancelled, ConnectionError])
def test_trouble_of_the_world_rejects_no_file(
    workshop: Workshop, trouble: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.parquet("a.parquet", [make_row(1)])

    def fail(*_: object, **__: object) -> None:
        raise trouble("not now")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetFile", fail)
        with pytest.raises(trouble):
            workshop.ingest()
    workshop.ingest()
    assert len(workshop.taken()) == 1


@pytest.mark.parametrize("name", ["b.jsonl.gz", "b.jsonl.zst"])
def test_a_broken_compressed_file_is_one_counted_rejection(workshop: Workshop, name: str) -> None:
    plain = workshop.jsonl("a.jsonl", [make_row(n) for n in range(50)]).read_bytes()
    packed = gzip.compress(plain) if name.endswith("gz") else pa.Codec("zstd").compress(plain, asbytes=True)
    (workshop.folder / name).write_bytes(packed[: len(packed) // 2])
    workshop.ingest()
    assert len(workshop.taken()) == 50
    assert workshop.reasons() == ["unreadable_file"]


@pytest.mark.parametrize("name", ["b.jsonl", "b.parquet", "b.jsonl.gz"])
def test_a_file_of_no_bytes_is_one_counted_rejection(workshop: Workshop, name: str) -> None:
    workshop.jsonl("a.jsonl", [make_row(1)])
    (workshop.folder / name).write_bytes(b"")
    workshop.ingest()
    assert len(workshop.taken()) == 1
    assert workshop.reasons() == ["empty_file"]


def test_a_parquet_file_of_no_rows_is_one_counted_rejection(workshop: Workshop) -> None:
    table = pa.Table.from_pylist([make_row(1)])
    pq.write_table(table.slice(0, 0), workshop.folder / "a.parquet")
    assert workshop.ingest() == 1
    assert workshop.taken() == []
    assert workshop.reasons() == ["empty_file"]


def test_blank_lines_are_no_rows_but_count_as_lines(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [b"", make_row(1), b"  ", make_row(2)])
    workshop.ingest()
    assert [trace["origin"] for trace in workshop.taken()] == ["a.jsonl:2", "a.jsonl:4"]
    assert workshop.reasons() == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[1, 2]", "unreadable_row"),
        (b"null", "unreadable_row"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "unreadable_row"),
        (b"[" * 100_000, "unreadable_row"),
        (b'{"problem": "\xff"}', "invalid_unicode"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "unknown_layout"),
    ],
)
def test_no_line_of_json_stops_the_rest(workshop: Workshop, line: bytes, reason: str) -> None:
    workshop.jsonl("a.jsonl", [line, make_row(1)])
    workshop.ingest()
    assert len(workshop.taken()) == 1
    assert workshop.reasons() == [reason]


def test_bytes_in_parquet_that_are_no_text_reject_their_row_only(workshop: Workshop) -> None:
    problems = pa.array([b"1+1?", b"\xff\xfe", b"2+2?"], pa.binary()).view(pa.string())
    thoughts = pa.array(["<think>a</think>b"] * 3)
    pq.write_table(pa.table({"problem": problems, "response": thoughts}), workshop.folder / "a.parquet")
    workshop.ingest()
    assert [trace["problem"] for trace in workshop.taken()] == ["1+1?", "2+2?"]
    assert workshop.reasons() == ["invalid_unicode"]


def test_a_strange_file_among_others_is_one_counted_rejection(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(1)])
    workshop.parquet("b.parquet", [{"text": "1+1?"}] * 3)
    workshop.ingest()
    assert len(workshop.taken()) == 1
    assert workshop.reasons() == ["unknown_layout"]


def test_a_source_of_strange_files_only_is_refused_with_the_way_out(workshop: Workshop) -> None:
    workshop.parquet("b.parquet", [{"text": "1+1?"}])
    with pytest.raises(SourceError, match=r"b\.parquet: the columns are text; .* set source.columns"):
        workshop.ingest()


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
    origins = [row["origin"] for row in workshop.taken() + workshop.rejected()]
    assert len(set(origins)) == 65


def test_a_limit_takes_so_many_and_keeps_their_order(workshop: Workshop) -> None:
    workshop.parquet("a.parquet", [make_row(n) for n in range(50)], row_group_size=7)
    workshop.ingest(select={"limit": 12})
    places = [int(trace["origin"].rsplit(":", 1)[1]) for trace in workshop.taken()]
    assert len(places) == 12
    assert places == sorted(places)
    assert Counter(workshop.reasons()) == {"not_chosen": 38}
    for place, trace in zip(places, workshop.taken(), strict=True):
        assert trace["problem"] == f"What is {place - 1} + 1?"


def state(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def content(folder: Path) -> dict[Path, bytes]:
    """Everything in the folder but the seconds that it took."""
    found = {path: data for path, (data, _) in state(folder).items()}
    for path in found:
        if path.name.startswith("shard-") and path.suffix == ".json":
            found[path] = json.dumps(json.loads(found[path]) | {"seconds": 0}).encode()
    return found


def test_a_second_call_with_nothing_new_writes_nothing(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(n) for n in range(10)])
    workshop.ingest(traces_per_shard=4)
    before = state(workshop.run.root)
    assert workshop.ingest(traces_per_shard=4) == 3
    assert state(workshop.run.root) == before
    assert workshop.progress == []


def test_a_new_file_is_scanned_and_the_old_ones_are_not(workshop: Workshop) -> None:
    workshop.parquet("a.parquet", [make_row(n) for n in range(10)])
    workshop.ingest()
    workshop.parquet("b.parquet", [make_row(n) for n in range(10, 13)])
    workshop.ingest()
    assert workshop.progress[0] == (3, 3)
    assert len(workshop.taken()) == 13


def test_another_selection_scans_nothing_and_removes_shards_beyond_it(workshop: Workshop) -> None:
    rows = [make_row(n) for n in range(9)]
    workshop.parquet("a.parquet", [*rows, make_row(response="<think>Hm")])
    assert workshop.ingest(traces_per_shard=3) == 3
    assert workshop.ingest(traces_per_shard=3, select={"limit": 4}) == 2
    assert workshop.progress == [(3, 4), (4, 4)]
    names = {path.name for path in (workshop.run.root / "ingest").glob("shard-*")}
    assert names == {f"shard-0000{n}.{kind}" for n in (0, 1) for kind in ("json", "parquet")}
    assert [row.rows_in for row in funnel(workshop.run, range(3))] == [10]


def test_a_changed_file_is_read_anew(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(1)])
    workshop.ingest()
    workshop.jsonl("a.jsonl", [make_row(2), make_row(3)])
    workshop.ingest()
    assert [trace["problem"] for trace in workshop.taken()] == ["What is 2 + 1?", "What is 3 + 1?"]


@pytest.mark.parametrize("label", [{"difficulty": 5}, {"domain": "code"}, {"source": "other"}])
def test_a_label_that_changes_alone_arrives(workshop: Workshop, label: dict[str, Any]) -> None:
    workshop.jsonl("a.jsonl", [make_row(1, difficulty=4)])
    workshop.ingest()
    (before,) = workshop.taken()
    workshop.jsonl("a.jsonl", [make_row(1, difficulty=4) | label])
    workshop.ingest()
    assert workshop.taken() == [before | label]


def test_a_label_that_one_line_lacks_costs_no_trace(workshop: Workshop) -> None:
    rows = [{"problem": "1+1?", "response": "<think>a</think>b"}, {"problem": "2?", "response": "a</think>b"}]
    workshop.jsonl("a.jsonl", [rows[0] | {"level": 3}, rows[1]])
    workshop.ingest(source={"columns": {"difficulty": "level"}})
    assert [trace["difficulty"] for trace in workshop.taken()] == [3, None]


class Killed(Exception):
    pass


@pytest.mark.parametrize("calls", range(8))
def test_a_killed_ingest_resumes_to_the_same_bytes(workshop: Workshop, tmp_path: Path, calls: int) -> None:
    for name in ("a.parquet", "b.parquet", "c.parquet"):
        workshop.parquet(name, [make_row(100 * ord(name[0]) + n) for n in range(10)])
    seen: list[int] = []

    def kill(done: int, total: int) -> None:
        if len(seen) == calls:
            raise Killed
        seen.append(done)

    with pytest.raises(Killed):
        workshop.ingest(kill, traces_per_shard=6)
    workshop.ingest(traces_per_shard=6)
    # 3 files are scanned and 5 shards written, one report each; what was reported is not done again,
    # and neither is the shard whose report was the kill.
    assert len(workshop.progress) + calls in (7, 8)
    never_killed = Workshop(workshop.folder, type(workshop.run)(tmp_path / "other"))
    never_killed.ingest(traces_per_shard=6)
    assert content(workshop.run.root) == content(never_killed.run.root)


def test_a_source_named_by_another_path_is_not_read_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.jsonl("deep/a.jsonl", [make_row(1), make_row(response="<think>Hm")])
    workshop.ingest()
    before = state(workshop.run.root)
    monkeypatch.chdir(workshop.folder.parent)
    workshop.ingest(source={"paths": [workshop.folder.name]})
    assert workshop.progress == []
    assert state(workshop.run.root) == before


def test_a_source_that_has_moved_gives_the_same_shards(workshop: Workshop, tmp_path: Path) -> None:
    workshop.jsonl("deep/a.jsonl", [make_row(1), make_row(1), make_row(response="<think>Hm")])
    workshop.parquet("b.parquet", [make_row(n) for n in range(2, 5)])
    workshop.ingest()
    moved = Workshop(workshop.folder.rename(tmp_path / "elsewhere"), type(workshop.run)(tmp_path / "other"))
    moved.ingest()
    before, after = (run.read_manifest("ingest", 0) for run in (workshop.run, moved.run))
    assert before is not None
    assert after is not None
    assert replace(after, seconds=before.seconds) == before
    assert moved.rejected() == workshop.rejected()


def test_half_written_facts_of_a_killed_run_are_removed(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(1)])
    left = workshop.run.root / "ingest" / "scan" / ".facts.parquet.123.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"PAR1")
    workshop.ingest()
    assert not left.exists()


def test_a_file_that_changes_between_the_passes_is_noticed(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(1), make_row(2)])

    def change(done: int, total: int) -> None:
        workshop.jsonl("a.jsonl", [make_row(1), make_row(3)])

    with pytest.raises(SourceError, match=r"a\.jsonl changed while it was read: run again"):
        workshop.ingest(change)
    workshop.ingest()
    assert [trace["problem"] for trace in workshop.taken()] == ["What is 1 + 1?", "What is 3 + 1?"]


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
    for trace in workshop.taken():
        response = responses[int(trace["origin"].rsplit(":", 1)[1]) - 1]
        assert response == f"<think>{trace['reasoning']}</think>{trace['answer']}"
