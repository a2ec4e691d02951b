"""Replies that were not as asked for, and could be read: counted in the run, card and report alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.build import summary
from pipeline.llm.deviations import Deviation
from pipeline.report.website import write_site
from pipeline.run.store import RunFolder
from pipeline.run.totals import read_totals
from pipeline.stages.registry import config_digests
from schemas.replies import Verdict
from tests.builds import run_build, small_build, source_of
from tests.servers.stub_llm import StubLlm

pytestmark = pytest.mark.slow


def verdict_with_a_comma(body: dict[str, Any]) -> str | None:
    wanted = body.get("structured_outputs", {}).get("json")
    return json.dumps({**Verdict.most_points(), "missing": []})[:-1] + ",}" if wanted else None


def test_what_was_mended_is_counted_alike_whoever_looks_and_after_a_resumption(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def thinks(completion: dict[str, Any]) -> None:
        message = completion["choices"][0]["message"]
        if message["content"][:1] != "{":
            message["content"] = f"<think>Hm.</think>{message['content']}"

    run = RunFolder(tmp_path / "run")
    with StubLlm(answer=verdict_with_a_comma, edit=thinks) as stub:
        build = small_build(source_of(tmp_path, 3), stub.endpoint, score={"detector": "cues"})
        run_build(build, run)
        totals = read_totals(run, build, 2, seconds=0)
        assert totals.done == 3
        asked = {purpose: used["requests"] for purpose, used in totals.usage.items()}
        taken = {
            Deviation.NOT_QUITE_JSON: asked["judge"],
            Deviation.THINKING_DROPPED: asked["compress"] + asked.get("refine", 0),
        }
        assert totals.taken == taken
        lines = [record.message for record in caplog.records if "thinks before it answers" in record.message]
        assert len(lines) == 1, "once for all shards"
        card = (run.publish / "README.md").read_text()
        site = write_site(run, build, run.report, lambda done, total: None).index.read_text()
        table = summary(totals.as_json())
        for deviation, count in taken.items():
            assert f"| {count} | {deviation.text} |" in card
            assert deviation.text in site
            assert f"{count} replies {deviation.text}" in [*table.columns[1].cells]
        # As after a kill: what was answered is read from disk, and counted as it was.
        requests = stub.totals.requests
        for shard in range(2):
            run.manifest("mementos", shard).unlink()
        run_build(build, run)
        assert stub.totals.requests == requests
        assert read_totals(run, build, 2, seconds=0).taken == taken
        assert (run.publish / "README.md").read_text() == card


def test_a_config_of_before_makes_no_stage_stale_by_the_new_key(tmp_path: Path) -> None:
    build = small_build(source_of(tmp_path, 1), "http://127.0.0.1:9/v1")
    other = build.model_copy(update={"llm": build.llm.model_copy(update={"drop_thinking": False})})
    assert config_digests(build) == config_digests(other)
