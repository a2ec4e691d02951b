"""JSON files: an array is read element by element, whatever else is named."""

import bz2
import gzip
import io
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
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
        ('{\n  "data": [1, 2]\n}\n', "one JSON object over many lines"),
        ('{\n "a": 1\n}\n' * 3, "jq -c"),
        ('"a text"', "neither a JSON array nor JSON objects"),
        (json.dumps([make_row()]).encode("utf-16"), "iconv"),
        (json.dumps(make_row()).encode() + b"\r" + json.dumps(make_row()).encode() + b"\r", "tr "),
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
    from pipeline.ingest.json_files import json_rows

    path = tmp_path / "many.json"
    with path.open("w") as file:
        file.write("[" + ",".join(json.dumps(make_row(n)) for n in range(20_000)) + "]")
    with path.open("rb") as stream:
        tracemalloc.start()
        try:
            rows = sum(1 for _ in json_rows(stream, array=True))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert rows == 20_000
    assert peak < 20 * 2**20
    assert path.stat().st_size > 4 * 2**20


ODD_ROWS = {
    "not a number": (json.dumps(make_row(1) | {"score": float("nan")}).encode(), None),
    "infinity": (json.dumps(make_row(1) | {"score": -float("inf")}).encode(), None),
    "a large id": (json.dumps(make_row(1) | {"id": 2**63}).encode(), None),
    "a huge id": (json.dumps(make_row(1) | {"id": 10**40}).encode(), None),
    "brackets and quotes in a text": (json.dumps(make_row(1) | {"note": '[{"\\",]}\\\\'}).encode(), None),
    "no UTF-8": (json.dumps(make_row(1)).encode().replace(b"math", b"ma\xffth"), "invalid_unicode"),
    "no JSON": (b'{"problem": truth}', "unreadable_row"),
    "no object": (b'["a", {"b": 1}]', "unreadable_row"),
    "half a pair": (json.dumps(make_row(1, problem="\ud800?")).encode(), "invalid_unicode"),
}


@pytest.mark.parametrize(("odd", "reason"), ODD_ROWS.values(), ids=ODD_ROWS)
@pytest.mark.parametrize("name", ["traces.json", "traces.jsonl"])
def test_an_odd_row_costs_no_other_in_an_array_as_in_lines(
    workshop: Workshop, name: str, odd: bytes, reason: str | None
) -> None:
    rows = [json.dumps(make_row(0)).encode(), odd, json.dumps(make_row(2)).encode()]
    content = b"[" + b", ".join(rows) + b"]" if name == "traces.json" else b"\n".join(rows)
    workshop.ingest(**write(workshop, content, name))
    assert len(workshop.slot()) == (3 if reason is None else 2)
    assert workshop.reasons() == ([] if reason is None else [reason])


@pytest.mark.parametrize(
    ("content", "read", "lost"),
    [
        (json.dumps([make_row(n) for n in range(9)])[:-20], 8, 1),
        (json.dumps([make_row(n) for n in range(3)])[:-1] + ", ]", 3, 0),
        (json.dumps([make_row(n) for n in range(3)]) + json.dumps([make_row(7)]), 3, 1),
        (json.dumps([make_row(n) for n in range(3)]) + " \n\n", 3, 0),
        (f"[{json.dumps(make_row(0))},,{json.dumps(make_row(1))}]", 2, 1),
        ("[]", 0, 1),  # no rows: the file is empty
    ],
)
def test_an_array_that_breaks_off_keeps_the_rows_before(
    workshop: Workshop, content: str, read: int, lost: int
) -> None:
    workshop.ingest(**write(workshop, content))
    assert (len(workshop.slot()), len(workshop.reasons())) == (read, lost)


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.json.gz", "a.ndjson", "A.JSONL", "a.jsonl.bz2", "a.ndjson.zst"]
)
def test_arrays_and_lines_are_told_apart_by_what_they_are(workshop: Workshop, name: str) -> None:
    rows = [make_row(n) for n in range(4)]
    for content in (
        json.dumps(rows),
        json.dumps(rows, indent=1),
        "".join(json.dumps(r) + "\n" for r in rows),
    ):
        packed = {"gz": gzip.compress, "bz2": bz2.compress, "zst": _zstd}.get(name.rsplit(".", 1)[-1], bytes)
        workshop.ingest(**write(workshop, packed(content.encode()), name))
        assert len(workshop.slot()) == 4


def _zstd(content: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(content, asbytes=True)
    return packed


def test_an_array_is_read_in_pieces_of_any_size() -> None:
    from pipeline.ingest.json_files import json_rows

    class Trickle(io.BytesIO):
        """Gives some bytes at a time, so that every token is cut somewhere."""

        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(7 if self.tell() else size)

    rows = [make_row(n, problem='a "quoted\\" [text], {n}') for n in range(3)]
    stream = Trickle(json.dumps(rows).encode())
    assert [json.loads(row) for _, row in json_rows(stream, array=True)] == rows
