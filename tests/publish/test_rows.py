import pytest

import schemas.openmementos
from pipeline.publish.rows import Made, audit_rows
from pipeline.records import RECORDS
from tests.records.rows import memento, row, table
from tests.through_stages import through

MADE = Made(model="m", judge_model="m", prompts=("judge@1",))


@pytest.mark.parametrize(
    ("origin", "published"),
    [
        ("/home/somebody/traces.parquet:3", "traces.parquet:3"),
        ("data/sample/traces.jsonl:7", "traces.jsonl:7"),
        ("hf://datasets/org/name@main/data/x.parquet:3", "hf://datasets/org/name@main/data/x.parquet:3"),
    ],
)
def test_folders_of_the_building_machine_are_not_published(origin: str, published: str) -> None:
    audit = audit_rows(through(RECORDS, table(row(origin=origin))).done, MADE)
    assert audit.schema == schemas.openmementos.AUDIT
    assert audit["origin"].to_pylist() == [published]


def test_audit_tells_a_changed_memento_though_its_size_and_points_are_the_same() -> None:
    audits = [
        audit_rows(
            through(RECORDS, table(row(mementos=[memento(text), memento("42")]))).done, MADE
        ).to_pylist()
        for text in ("12 + 30 = 42.", "30 + 12 = 42.")
    ]
    (one,), (other,) = audits
    assert one.pop("response_sha256") != other.pop("response_sha256")
    assert one == other
