import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.ingest import SourceError
from pipeline.report import funnel
from tests.ingest.workshop import Killed, Workshop, killing, make_row


def state(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def content(folder: Path) -> dict[Path, bytes]:
    """Everything in the folder but the seconds that it took."""
    found = {path: data for path, (data, _) in state(folder).items()}
    for path in found:
        if path.name.startswith("shard-") and path.suffix == ".json":
            found[path] = json.dumps(json.loads(found[path]) | {"seconds": 0, "checksum": ""}).encode()
    return found


def places(workshop: Workshop) -> dict[str, int]:
    """The shard of each trace."""
    found = {}
    for shard in range(workshop.shards):
        found |= dict.fromkeys(workshop.run.read("ingest", shard)["trace_id"].to_pylist(), shard)
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
    assert len(workshop.slot()) == 13


def test_another_selection_scans_nothing_and_leaves_each_trace_in_its_shard(workshop: Workshop) -> None:
    rows = [make_row(n) for n in range(9)]
    workshop.parquet("a.parquet", [*rows, make_row(response="<think>Hm")])
    assert workshop.ingest(traces_per_shard=3) == 3
    before = places(workshop)
    shards = workshop.ingest(traces_per_shard=3, select={"limit": 4})
    assert len(places(workshop)) == 4
    assert places(workshop).items() <= before.items()
    assert all(total == 4 for _, total in workshop.progress)
    assert [row.rows_in for row in funnel(workshop.run, range(shards))] == [10]


def test_shards_beyond_the_last_chosen_trace_are_removed(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(n) for n in range(4)])
    workshop.jsonl("b.jsonl", [make_row(n) for n in range(4, 8)])
    assert workshop.ingest(traces_per_shard=4) == 2
    (workshop.folder / "b.jsonl").unlink()
    assert workshop.ingest(traces_per_shard=4) == 1
    names = {path.name for path in (workshop.run.root / "ingest").glob("shard-*")}
    assert names == {"shard-00000.json", "shard-00000.parquet"}


def test_a_changed_file_is_read_anew(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(1)])
    workshop.ingest()
    workshop.jsonl("a.jsonl", [make_row(2), make_row(3)])
    workshop.ingest()
    assert [trace["problem"] for trace in workshop.slot()] == ["What is 2 + 1?", "What is 3 + 1?"]


@pytest.mark.parametrize("label", [{"difficulty": 5}, {"domain": "code"}, {"source": "other"}])
def test_a_label_that_changes_alone_arrives(workshop: Workshop, label: dict[str, Any]) -> None:
    workshop.jsonl("a.jsonl", [make_row(1, difficulty=4)])
    workshop.ingest()
    (before,) = workshop.slot()
    workshop.jsonl("a.jsonl", [make_row(1, difficulty=4) | label])
    workshop.ingest()
    assert workshop.slot() == [before | label]


def test_a_label_that_one_line_lacks_costs_no_trace(workshop: Workshop) -> None:
    rows = [{"problem": "1+1?", "response": "<think>a</think>b"}, {"problem": "2?", "response": "a</think>b"}]
    workshop.jsonl("a.jsonl", [rows[0] | {"level": 3}, rows[1]])
    workshop.ingest(source={"columns": {"difficulty": "level"}})
    assert [trace["difficulty"] for trace in workshop.slot()] == [3, None]


@pytest.mark.parametrize("calls", range(8))
def test_a_killed_ingest_resumes_to_the_same_bytes(workshop: Workshop, tmp_path: Path, calls: int) -> None:
    for name in ("a.parquet", "b.parquet", "c.parquet"):
        workshop.parquet(name, [make_row(100 * ord(name[0]) + n) for n in range(10)])
    with pytest.raises(Killed):
        workshop.ingest(killing(calls), traces_per_shard=6)
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
    assert [trace["problem"] for trace in workshop.slot()] == ["What is 1 + 1?", "What is 3 + 1?"]
