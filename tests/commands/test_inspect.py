import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config import PartitionConfig, PublishConfig
from pipeline.files.atomic import write_json
from pipeline.ingest import ingest
from pipeline.run.outcomes import Done, Failed, Rejected, RejectReason
from pipeline.run.status import Status
from pipeline.run.store import RunFolder
from pipeline.stages.run_shard import run_stages
from tests.commands.runs import REASONING, memento, partitioned_run, small_build, write_mementos

JUDGE_FAILED = Failed("trace x, block 1, judge: not JSON in each of 2 replies", ["{half", "[bold]no"])


def told(*arguments: object, **environment: str):
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)], env={"COLUMNS": "150", **environment})


def lines(*arguments: object) -> list[dict]:
    result = told(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def id_of(run: RunFolder, state: str) -> str:
    (line,) = lines(run.root, "--state", state)
    return line["trace_id"]


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """One trace done, one failed by the judge, one rejected by ingest."""
    folder, build = partitioned_run(tmp_path / "run")
    write_mementos(folder, [Done({"mementos": [memento(n) for n in range(3)]}), JUDGE_FAILED])
    run_stages(["records"], 0, folder, build, None)
    return folder


def test_every_trace_has_a_line_with_its_state_and_reason(run):
    found = {line["state"]: line for line in lines(run.root)}
    assert set(found) == {"done", "failed", "rejected"}
    assert found["failed"]["stage"] == "mementos"
    assert "not JSON" in found["failed"]["reason"]
    assert (found["rejected"]["stage"], found["rejected"]["reason"]) == ("ingest", "cut before </think>")


def test_a_done_trace_tells_its_blocks_compression_score_and_rounds(run):
    (line,) = lines(run.root, "--state", "done")
    blocks = run.read("records", 0).to_pylist()[0]
    assert line["sentences"] == len(blocks["sentence_ends"])
    assert line["blocks"] == len(blocks["block_ends"]) == 3
    assert line["compression"] == pytest.approx(sum(blocks["block_tokens"]) / 18)
    assert (line["score"], line["rounds"]) == (8, 2)


def test_the_list_can_be_filtered_and_paged(run):
    everything = [line["trace_id"] for line in lines(run.root)]
    assert [line["domain"] for line in lines(run.root, "--domain", "code")] == ["code"]
    assert [line["trace_id"] for line in lines(run.root, "--limit", 2)] == everything[:2]
    assert [line["trace_id"] for line in lines(run.root, "--skip", 1, "--limit", 1)] == everything[1:2]
    assert "more: --skip 2" in told(run.root, "--limit", 2).stdout
    assert "more" not in told(run.root, "--limit", 3).stdout


def test_a_trace_is_shown_with_every_sentence_boundary_and_memento(run):
    shown = told(run.root, id_of(run, "done")).stdout
    for piece in ("What is 12 + 1?", "    return a + b", "\\boxed{13}", "It is 13."):
        assert piece in shown
    (row,) = run.read("records", 0).to_pylist()
    for score, reason in zip(row["boundary_scores"], row["boundary_reasons"], strict=True):
        assert f"{score:.1f} {reason}" in shown
    assert shown.count("━━ cut") == 2
    assert all(f"Twelve and one are 13 ({n})." in shown for n in range(3))


def test_judge_rounds_tell_points_what_was_missing_and_which_was_kept(run):
    shown = told(run.root, id_of(run, "done"), "--block", 1).stdout
    first, second = (next(line for line in shown.splitlines() if f"round {n}:" in line) for n in (0, 1))
    assert "5 of 10" in first
    assert "values 1/2" in first
    assert "(kept)" in second
    assert "(kept)" not in first
    for piece in ("missing: the 13", "checks: number_not_in_block", "text: First try 1."):
        assert piece in shown


def test_points_of_several_judges_stand_beside_what_they_come_to(run):
    shown = told(run.root, id_of(run, "done")).stdout
    assert "round 1:  8 of 10 from 8, 7, 9 (kept)" in shown
    assert "round 0:  5 of 10  formulas" in shown


def test_one_block_is_shown_alone(run):
    shown = told(run.root, id_of(run, "done"), "--block", 1).stdout
    assert "block 1 ·" in shown
    assert "block 0 ·" not in shown
    assert "block 2 ·" not in shown


def test_sentences_of_the_json_are_the_reasoning(run):
    trace = lines(run.root, id_of(run, "done"))
    assert "".join(s["text"] for block in trace["blocks"] for s in block["sentences"]) == REASONING
    assert trace["blocks"][2]["memento"]["rounds"][1]["score"] == 8
    assert trace["blocks"][2]["tokens"] == sum(s["tokens"] for s in trace["blocks"][2]["sentences"])


def test_a_failed_trace_shows_error_and_replies_as_they_came(run):
    shown = told(run.root, id_of(run, "failed")).stdout
    for piece in ("failed at mementos", "not JSON in each of 2 replies", "{half", "[bold]no", "block 2 ·"):
        assert piece in shown


def test_a_trace_rejected_at_ingest_shows_why(run):
    shown = told(run.root, id_of(run, "rejected")).stdout
    assert "rejected at ingest" in shown
    assert "cut before </think>" in shown


def test_a_trace_rejected_later_shows_reason_and_detail(tmp_path):
    folder, _ = partitioned_run(tmp_path / "run")
    rejected = Rejected(RejectReason.NO_VALID_MEMENTO, "block 2: invents 14")
    write_mementos(folder, [rejected, JUDGE_FAILED])
    (line,) = lines(folder.root, "--state", "rejected", "--domain", "math")
    shown = told(folder.root, line["trace_id"]).stdout
    assert "rejected at mementos" in shown
    assert "no round gave a valid memento" in shown
    assert "block 2: invents 14" in shown


def test_no_text_of_a_trace_reaches_the_terminal_as_a_command(run):
    assert "\x1b[31m" in REASONING
    shown = told(run.root, id_of(run, "done")).stdout
    assert "\x1b" not in shown
    assert "[1] and [/red] twelve" in shown


@pytest.mark.parametrize("stages", [[], ["split"], ["split", "score"], ["split", "score", "partition"]])
def test_an_unfinished_run_shows_how_far_each_trace_came(tmp_path, stages):
    folder, build = RunFolder(tmp_path / "run"), small_build(tmp_path / "run")
    ingest(build, folder, lambda done, total: None)
    for stage in stages:
        run_stages([stage], 0, folder, build, None)
    last = ["ingest", *stages][-1]
    found = lines(folder.root, "--state", "unfinished")
    assert [line["stage"] for line in found] == [last, last]
    shown = told(folder.root, found[0]["trace_id"]).stdout
    assert f"so far through {last}" in shown
    assert ("not cut yet" in shown) == (last in ("split", "score"))
    assert ("━━ cut" in shown) == (last == "partition")


def test_what_an_older_config_left_behind_is_not_shown_as_done(run):
    smaller = small_build(run.root).model_copy(update={"partition": PartitionConfig(min_tokens=60)})
    run_stages(["partition"], 0, run, smaller, None)
    assert {line["state"] for line in lines(run.root)} == {"unfinished", "rejected"}


def test_the_beginning_of_an_id_is_enough_where_no_other_begins_so(run):
    whole = id_of(run, "done")
    assert lines(run.root, whole[:6])["trace_id"] == whole
    result = told(run.root, "")
    assert result.exit_code == 1
    assert "3 traces begin with ''" in result.stderr


def test_an_unknown_trace_names_the_nearest(run):
    whole = id_of(run, "done")
    result = told(run.root, whole[:8] + "zz")
    assert result.exit_code == 1
    assert f"the nearest is {whole}" in result.stderr


def test_an_unknown_block_names_those_there_are(run):
    result = told(run.root, id_of(run, "done"), "--block", 9)
    assert result.exit_code == 1
    assert "its blocks are 0 to 2" in result.stderr


def test_a_run_is_found_by_name_and_an_unknown_one_names_those_there_are(tmp_path, monkeypatch):
    partitioned_run(tmp_path / "data" / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    assert len(lines("mine")) == 3
    result = told("yours")
    assert result.exit_code == 1
    assert "runs in data/runs: mine" in result.stderr


def test_a_folder_that_is_no_run_is_told_apart(tmp_path):
    result = told(tmp_path)
    assert result.exit_code == 1
    assert "nothing was read into it" in result.stderr


def test_a_run_that_still_reads_its_sources_asks_for_patience(tmp_path):
    status = Status("mine", "working", "reading and selecting traces", "", "", "", None, ())
    write_json(status.as_json(), RunFolder(tmp_path).status_file)
    assert "try again in a moment" in told(tmp_path).stderr
    write_json(replace(status, state="failed").as_json(), RunFolder(tmp_path).status_file)
    assert "nothing was read into it" in told(tmp_path).stderr


def test_there_is_colour_where_it_is_wanted_and_none_under_no_color(run, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    trace = id_of(run, "done")
    assert "\x1b[1;35m" in told(run.root, trace).stdout
    assert "\x1b[1;35m" not in told(run.root, trace, NO_COLOR="1").stdout


def failed_memento() -> dict:
    """A memento of five points in the round that was kept."""
    one = memento(1)
    return one | {"score": 5, "best_round": 0, "text": one["rounds"][0]["text"]}


@pytest.fixture
def filtered(tmp_path) -> RunFolder:
    """One trace published; one left out, as its second memento did not pass; one rejected by ingest."""
    folder, build = partitioned_run(tmp_path / "run")
    build = build.model_copy(update={"publish": PublishConfig(only_passed=True)})
    good, bad = ([memento(0), second, memento(2)] for second in (memento(1), failed_memento()))
    write_mementos(folder, [Done({"mementos": good}), Done({"mementos": bad})])
    run_stages(["records"], 0, folder, build, None)
    write_json(build.model_dump(mode="json"), folder.config_file)
    return folder


def test_a_trace_left_out_for_its_mementos_is_shown_with_them_and_the_reason(filtered):
    (line,) = lines(filtered.root, "--state", "rejected", "--domain", "code")
    assert (line["stage"], line["reason"]) == ("records", RejectReason.NOT_PASSED.text)
    shown = told(filtered.root, line["trace_id"]).stdout
    assert "rejected at records" in shown
    assert "1 of 3 mementos; block 1: 5 of 10 points; the 13; check number_not_in_block" in shown
    assert "Twelve and one are 13 (2)." in shown


def test_mementos_that_did_not_pass_are_listed_with_block_points_and_what_is_missing(filtered):
    (one,) = lines(filtered.root, "--failed-judge")
    assert (one["domain"], one["state"], one["blocks"]) == ("code", "rejected", 3)
    assert one["failed_mementos"] == [
        {"block": 1, "score": 5, "rounds": 2, "missing": ["the 13"], "checks": ["number_not_in_block"]}
    ]
    shown = told(filtered.root, "--failed-judge").stdout
    assert one["trace_id"] in shown
    assert "the 13; check number_not_in_block" in shown


def test_a_trace_shows_only_the_blocks_whose_mementos_did_not_pass(filtered):
    (one,) = lines(filtered.root, "--failed-judge")
    assert [b["number"] for b in lines(filtered.root, one["trace_id"], "--failed-judge")["blocks"]] == [1]
    shown = told(filtered.root, one["trace_id"], "--failed-judge").stdout
    assert "block 1 ·" in shown
    assert "block 0 ·" not in shown


def test_where_every_memento_passed_the_list_says_so(filtered):
    assert lines(filtered.root, "--failed-judge", "--domain", "math") == []
    told_none = told(filtered.root, "--failed-judge", "--domain", "math").stdout
    assert "each that is written has 8 points or more" in told_none


def test_the_threshold_is_that_of_the_run_or_the_one_that_is_given(filtered):
    assert len(lines(filtered.root, "--failed-judge", "--threshold", 9)) == 2
    filtered.config_file.unlink()
    result = told(filtered.root, "--failed-judge")
    assert result.exit_code == 1
    assert "give --threshold" in result.stderr


def test_a_damaged_config_of_the_run_is_named_with_the_way_out(filtered):
    filtered.config_file.write_text(filtered.config_file.read_text()[:-9])
    result = told(filtered.root, "--failed-judge")
    assert result.exit_code == 1
    assert str(filtered.config_file) in result.stderr
    assert "give --threshold" in result.stderr
