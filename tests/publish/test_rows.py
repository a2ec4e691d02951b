import pytest

import schemas.openmementos
from pipeline.publish.rows import Made, audit_rows
from tests.records.rows import row, table

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
    audit = audit_rows(table(row(origin=origin)), MADE)
    assert audit.schema == schemas.openmementos.AUDIT
    assert audit["origin"].to_pylist() == [published]
