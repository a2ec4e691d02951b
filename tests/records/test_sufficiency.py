"""publish.sufficiency and publish.only_sufficient, from an evaluation's file to the published folder."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import PublishConfig
from pipeline.evaluate.sufficiency import SCHEMA
from pipeline.records.sufficiency import SufficiencyError, read_sufficiency
from tests.publish.test_quality import built, written
from tests.records.rows import row


def audit(run) -> list[dict]:  # type: ignore[no-untyped-def,type-arg]
    return pq.read_table(run.publish / "audit").to_pylist()


def traces(start: int, stop: int) -> list[dict[str, Any]]:
    """Each with an answer of its own."""
    return [row(f"t{n}", problem=f"problem {n}", answer=f"It is {n}.") for n in range(start, stop)]


def verdicts(path: Path, found: dict[str, bool | None]) -> str:
    rows = [{"response_sha256": digest, "sufficient": verdict} for digest, verdict in found.items()]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path)
    return str(path)


def test_the_column_says_what_was_found_and_the_filter_keeps_what_is_enough(tmp_path: Path) -> None:
    run = written(tmp_path / "run", traces(0, 4))
    built(run, 1)
    before = audit(run)
    assert [row["sufficient"] for row in before] == [None] * 4
    digests = [row["response_sha256"] for row in before]
    path = verdicts(tmp_path / "model.parquet", dict(zip(digests, [True, False, None], strict=False)))
    built(run, 1, sufficiency=path)
    assert [row["sufficient"] for row in audit(run)] == [True, False, None, None]
    assert "| math | 2 | 1 (50.0%) |" in (run.publish / "README.md").read_text(encoding="utf-8")
    built(run, 1, sufficiency=path, only_sufficient=True)
    assert [row["response_sha256"] for row in audit(run)] == digests[:1]
    left_out = run.read_rejected("records", 0).to_pylist()
    assert [row["reason"] for row in left_out] == ["not_sufficient"] * 3
    assert [row["detail"] for row in left_out][1:] == ["not asked about"] * 2
    # Other verdicts are another result.
    verdicts(tmp_path / "model.parquet", dict.fromkeys(digests, True))
    built(run, 1, sufficiency=path, only_sufficient=True)
    assert len(audit(run)) == 4
    built(run, 1)
    assert audit(run) == before
    assert "was asked for the trace's answer" not in (run.publish / "README.md").read_text(encoding="utf-8")


def test_digests_are_those_of_the_responses(tmp_path: Path) -> None:
    run = written(tmp_path / "run", traces(0, 2))
    built(run, 1)
    responses = pq.read_table(run.publish / "data")["response"].to_pylist()
    digests = [hashlib.sha256(response.encode()).hexdigest() for response in responses]
    assert [row["response_sha256"] for row in audit(run)] == digests


def test_a_file_of_an_earlier_version_is_read_as_it_was_meant(tmp_path: Path) -> None:
    columns = ["response_sha256", "domain", "problem_only", "mementos", "whole_trace", "sufficient"]
    table = pa.Table.from_pylist([{"response_sha256": "d", "sufficient": True}], SCHEMA).select(columns)
    pq.write_table(table, tmp_path / "old.parquet")
    assert read_sufficiency(str(tmp_path / "old.parquet")) == {"d": True}


def test_a_file_that_says_nothing_is_named_with_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(SufficiencyError, match=r"no\.parquet: cannot be read .*`openmementos evaluate MODEL"):
        read_sufficiency(str(tmp_path / "no.parquet"))
    pq.write_table(pa.table({"other": [1]}), tmp_path / "other.parquet")
    with pytest.raises(SufficiencyError, match="cannot be read"):
        read_sufficiency(str(tmp_path / "other.parquet"))
    with pytest.raises(ValueError, match="only_sufficient needs sufficiency"):
        PublishConfig(only_sufficient=True)
