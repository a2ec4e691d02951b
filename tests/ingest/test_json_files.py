"""JSON files: an array is read element by element, whatever else is named."""

import json
import tracemalloc
from pathlib import Path

import pytest

from tests.ingest.workshop import Workshop, make_row


def write(workshop: Workshop, content: str | bytes, name: str = "traces.json") -> dict[str, object]:
    """Writes the file; the source's part of a config that names it."""
    path = workshop.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return {"source": {"paths": [str(path)]}}


@pytest.mark.parametrize("start", ["", "\ufeff", "\r\n  "], ids=["plain", "byte order mark", "white space"])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_gives_a_trace_for_each_element(workshop: Workshop, start: str, indent: int | None) -> None:
    rows = [make_row(n) for n in range(5)]
    config = write(workshop, start + json.dumps(rows, indent=indent))
    workshop.ingest(**config)
    assert [trace["origin"] for trace in workshop.slot()] == [f"traces.json:{n}" for n in range(1, 6)]


def test_an_object_a_line_is_read_from_a_json_file_too(workshop: Workshop) -> None:
    config = write(workshop, "".join(json.dumps(make_row(n)) + "\n" for n in range(3)))
    workshop.ingest(**config)
    assert len(workshop.slot()) == 3


def test_elements_that_are_no_objects_are_counted_one_by_one(workshop: Workshop) -> None:
    config = write(workshop, json.dumps([make_row(), 3, None, [make_row(1)]]))
    workshop.ingest(**config)
    assert len(workshop.slot()) == 1
    assert workshop.reasons() == ["unreadable_row"] * 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps([make_row(n) for n in range(9)])[:-20], "no JSON array after element 8"),
        ('{\n  "data": [1, 2]\n}\n', "one JSON object over many lines"),
        (b"[\xff\xfe]", "no JSON array after element 0"),
    ],
)
def test_a_file_that_is_no_array_is_left_out_with_what_it_is(
    workshop: Workshop, content: str | bytes, said: str
) -> None:
    workshop.jsonl("good.jsonl", [make_row(100)])
    config = write(workshop, content)
    config["source"]["paths"].append(str(workshop.folder / "good.jsonl"))  # type: ignore[index]
    workshop.ingest(**config)
    (rejected,) = workshop.rejected()
    assert rejected["reason"] == "unreadable_file"
    assert said in rejected["detail"]
    assert len(workshop.slot()) == 1


def test_json_files_of_a_folder_are_not_taken_for_traces(workshop: Workshop) -> None:
    write(workshop, '{"splits": {}}', "dataset_infos.json")
    workshop.jsonl("a.jsonl", [make_row()])
    workshop.ingest()
    assert workshop.rejected() == []


def test_memory_does_not_grow_with_the_array(workshop: Workshop, tmp_path: Path) -> None:
    from pipeline.ingest.json_files import array_rows

    path = tmp_path / "many.json"
    with path.open("w") as file:
        file.write("[" + ",".join(json.dumps(make_row(n)) for n in range(20_000)) + "]")
    with path.open("rb") as stream:
        tracemalloc.start()
        try:
            rows = sum(1 for _ in array_rows(stream))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert rows == 20_000
    assert peak < 20 * 2**20
    assert path.stat().st_size > 4 * 2**20
