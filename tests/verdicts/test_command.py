import json

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.run.store import RunFolder
from pipeline.verdicts import Opinion, put
from tests.verdicts.runs import judged_run, reworded, verdict_on


def told(*arguments: object):
    return CliRunner().invoke(app, ["verdicts", *map(str, arguments)], env={"COLUMNS": "150"})


@pytest.fixture
def run(tmp_path) -> RunFolder:
    folder = judged_run(tmp_path / "run")
    put(folder, verdict_on(folder, 0, Opinion.GOOD))
    put(folder, verdict_on(folder, 1, Opinion.BAD))
    put(folder, verdict_on(folder, 2, Opinion.BAD))
    return folder


def test_the_agreement_is_a_table(run):
    lines = [line.split() for line in told(run.root).stdout.splitlines()]
    assert lines == [
        ["3", "verdicts:", "1", "good,", "2", "bad"],
        ["person:", "good", "person:", "bad"],
        ["judge:", "passed", "1", "1"],
        ["judge:", "did", "not", "pass", "0", "1"],
        ["agreement:", "66.7%;", "Cohen's", "kappa:", "0.40"],
    ]


def test_outdated_verdicts_are_told(run):
    reworded(run, 2, "13.")
    assert "2 verdicts: 1 good, 1 bad, 1 more outdated" in told(run.root).stdout


def test_json_is_for_programs(run):
    found = json.loads(told(run.root, "--json").stdout)
    assert found["run"] == str(run.root)
    assert (found["passed_good"], found["passed_bad"], found["short_bad"]) == (1, 1, 1)
    assert found["kappa"] == pytest.approx(0.4)


def test_verdicts_are_exported_and_the_json_stays_json(run, tmp_path):
    to = tmp_path / "out.jsonl"
    result = told(run.root, "--output", to, "--json")
    assert json.loads(result.stdout)["counted"] == 3
    assert result.stderr == f"{to}: 3 verdicts\n"
    assert len(to.read_text().splitlines()) == 3


def test_a_run_without_verdicts_says_where_to_give_them(tmp_path):
    run = judged_run(tmp_path / "run")
    assert f"no verdicts yet: give them in `openmementos view {run.root}`" in told(run.root).stdout


def test_a_damaged_file_ends_with_its_name_and_the_way_out(run):
    run.verdicts.write_bytes(b"PAR1")
    result = told(run.root)
    assert result.exit_code == 1
    assert f"error: {run.verdicts}: damaged" in result.stderr
