import json
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
import tiktoken
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config import BuildConfig
from pipeline.llm.concurrency import ConcurrencyLimit
from pipeline.llm.model import Choice, Choices, JsonReply, Reply, Request, Uncertainty, Usage
from pipeline.llm.session import LlmSession
from pipeline.llm.templates import load_prompts
from pipeline.mementos.writing import MEMENTOS
from pipeline.plan import Plan, make_plan
from pipeline.plan.prompt_sizes import Load, judge_rounds
from pipeline.run.store import RunFolder
from pipeline.segmentation.partition.stage import PARTITION
from pipeline.segmentation.score.stage import SCORE
from pipeline.stages.registry import config_digests, current_manifest, stage_named
from pipeline.stages.run_shard import run_stages
from schemas.replies import Verdict
from tests.through_stages import through

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "traces.jsonl"
CONFIG = Path(__file__).parents[2] / "flows" / "configs" / "sample.yaml"
POINTS = {"formulas": 3, "values": 2, "methods": 2, "validation": 1, "only_confirmed": 1, "result_first": 1}
FULL_MARKS = Verdict(**POINTS, missing=[])


@dataclass
class CountingModel:
    """Answers at once and adds up what an engine with a prefix cache would count."""

    loads: dict[str, Load] = field(default_factory=dict)
    cached: set[int] = field(default_factory=set)

    async def ask(self, request: Request) -> Reply:
        load = self._count(request)
        self.loads[request.purpose] = self.loads.get(request.purpose, Load()) + load
        match request.constraint:
            case Choice(options):
                return Reply(options[1], "m", 1, Usage())
            case Choices(labels, options):
                return Reply(" ".join(label + options[1] for label in labels), "m", 1, Usage())
            case JsonReply():
                return Reply(FULL_MARKS.model_dump_json(), "m", 1, Usage(), value=FULL_MARKS)
            case Uncertainty(_, places):
                return Reply("", "m", 1, Usage(), uncertainties=[1.0] * len(places))
        return Reply("The sum is found and checked.", "m", 1, Usage())

    def _count(self, request: Request) -> Load:
        encode = tiktoken.get_encoding("cl100k_base").encode_ordinary
        system, user = (encode(message.content) for message in request.messages)
        # Markers of ChatML: one token each, and the roles and line ends around them.
        prompt = (-1, 0, 0, *system, -2, 0, -1, 0, 0, *user, -2, 0, -1, 0, 0)
        blocks = [hash(prompt[:end]) for end in range(16, len(prompt), 16)]
        found = sum(block in self.cached for block in blocks) * 16
        self.cached.update(blocks)
        return Load(1, len(prompt), len(prompt) - found)

    def asking(self, window: int | None = None) -> LlmSession:
        return LlmSession(self, load_prompts(), window, 0, ConcurrencyLimit(1))


def sample_build(**sections) -> BuildConfig:
    source = {"paths": (str(SAMPLE),)}
    values = {"name": "small", "source": source, "select": {"limit": 5}, "traces_per_shard": 3, **sections}
    # An endpoint where nobody listens: a plan that asked a model would fail.
    llm = {"model": "m", "endpoints": ("http://127.0.0.1:9/v1",)}
    return BuildConfig.model_validate({"llm": llm, **values})


def planned(build: BuildConfig, root: Path) -> Plan:
    return make_plan(build, RunFolder(root), lambda step, done, total: None)


def split_rows(root: Path) -> pa.Table:
    run = RunFolder(root)
    return pa.concat_tables([run.read("split", 0), run.read("split", 1)])


@pytest.mark.parametrize("detector", ["cues", "llm", "hybrid"])
@pytest.mark.parametrize("context_tokens", [16_384, 400])
@pytest.mark.parametrize("window", [1, 4])
def test_planned_score_questions_are_those_that_the_stage_asks(tmp_path, detector, context_tokens, window):
    build = sample_build(score={"detector": detector, "context_tokens": context_tokens, "window": window})
    plan = planned(build, tmp_path)
    model = CountingModel()
    through(SCORE, split_rows(tmp_path), model.asking(), score=build.score)
    seen, told = model.loads.get("score", Load()), plan.loads["score"]
    assert told.requests == seen.requests
    assert plan.boundaries_asked / window <= told.requests <= plan.boundaries_asked
    assert told.prompt_tokens == pytest.approx(seen.prompt_tokens, rel=0.01)
    assert told.computed_tokens == pytest.approx(seen.computed_tokens, rel=0.05)


@pytest.mark.parametrize("context_tokens", [16_384, 400])
def test_planned_prompts_that_are_only_read_are_those_of_the_stage(tmp_path, context_tokens):
    score = {"detector": "llm", "form": "prefill", "context_tokens": context_tokens}
    build = sample_build(score=score)
    told = planned(build, tmp_path).loads["score"]
    model = CountingModel()
    through(SCORE, split_rows(tmp_path), model.asking(), score=build.score)
    seen = model.loads["score"]
    assert told.requests == seen.requests
    assert told.computed_tokens == told.prompt_tokens == pytest.approx(seen.prompt_tokens, rel=0.01)


@pytest.mark.parametrize("context", ["trace", "block", "mementos"])
def test_planned_memento_questions_are_about_those_that_the_stage_asks(tmp_path, context):
    build = sample_build(
        score={"detector": "cues"}, mementos={"context": context, "max_rounds": 1, "max_tokens": 16}
    )
    plan = planned(build, tmp_path)
    scored = through(SCORE, split_rows(tmp_path), score=build.score).done
    blocks = through(PARTITION, scored, partition=build.partition).done
    model = CountingModel()
    through(MEMENTOS, blocks, model.asking(), mementos=build.mementos)
    for purpose in ("compress", "judge"):
        told, seen = plan.loads[purpose], model.loads[purpose]
        assert told.requests == seen.requests == plan.blocks
        assert told.prompt_tokens == pytest.approx(seen.prompt_tokens, rel=0.05)
    seen = sum(model.loads.values(), Load())
    assert plan.load.computed_tokens == pytest.approx(seen.computed_tokens, rel=0.15)
    assert plan.loads["refine"].requests == 0


def test_several_judges_are_planned_for_and_cost_few_computed_tokens(tmp_path):
    def mementos(root: Path, judges: int) -> tuple[Plan, CountingModel]:
        settings = {"max_rounds": 1, "max_tokens": 16, "judges": {"number": judges}}
        build = sample_build(score={"detector": "cues"}, mementos=settings)
        plan, model = planned(build, root), CountingModel()
        scored = through(SCORE, split_rows(root), score=build.score).done
        blocks = through(PARTITION, scored, partition=build.partition).done
        through(MEMENTOS, blocks, model.asking(), mementos=build.mementos)
        return plan, model

    one, _ = mementos(tmp_path / "one", 1)
    three, model = mementos(tmp_path / "three", 3)
    told, seen = three.loads["judge"], model.loads["judge"]
    assert told.requests == seen.requests == 3 * one.loads["judge"].requests
    assert told.prompt_tokens == pytest.approx(seen.prompt_tokens, rel=0.05)
    assert told.computed_tokens == pytest.approx(seen.computed_tokens, rel=0.15)
    assert told.computed_tokens < 1.5 * one.loads["judge"].computed_tokens


def test_the_build_finds_what_the_plan_has_read_and_split(tmp_path):
    build = sample_build()
    planned(build, tmp_path)
    run = RunFolder(tmp_path)
    split = [current_manifest(run, config_digests(build), stage_named("split"), shard) for shard in (0, 1)]
    assert all(split)
    assert [made for shard in (0, 1) for made in run_stages(["split"], shard, run, build, None)] == split
    assert not run.shard("score", 0).exists()


def test_counts_are_those_of_the_traces(tmp_path):
    plan = planned(sample_build(), tmp_path)
    assert plan.traces_in == plan.traces_chosen + plan.rejected.total() == 20
    assert plan.traces_chosen == 5
    assert plan.rejected["cut_before_think_end"] == 1
    rows = split_rows(tmp_path).to_pylist()
    assert plan.sentences == sum(len(row["sentence_ends"]) for row in rows)
    assert plan.boundaries == plan.sentences - 5
    assert plan.reasoning_tokens == sum(sum(row["sentence_tokens"]) for row in rows)


def test_hybrid_asks_less_than_the_model_alone(tmp_path):
    hybrid = planned(sample_build(), tmp_path)
    alone = planned(sample_build(score={"detector": "llm"}), tmp_path)
    assert alone.boundaries_asked == alone.boundaries == hybrid.boundaries > hybrid.boundaries_asked > 0


@pytest.mark.parametrize(("most", "rounds"), [(1, 1.0), (2, 1.72), (3, 1.8), (8, 1.81)])
def test_rounds_follow_the_papers_rates(most, rounds):
    assert judge_rounds(most) == pytest.approx(rounds, abs=0.001)


def test_hours_and_cost_come_from_speeds_and_prices():
    plan = Plan("p", "f", "hybrid")
    plan.loads["score"] = Load(1, 2_000_000, 720_000, 36_000)
    assert plan.hours(prompt_speed=100, generation_speed=10) == pytest.approx(3)
    assert plan.cost(prompt_price=0.5, completion_price=10) == pytest.approx(1.36)


def told(root: Path, *more: str):
    command = ["plan", "-c", str(CONFIG), "-s", str(SAMPLE), "-r", str(root), *more]
    return CliRunner().invoke(app, command)


def test_json_has_a_value_and_a_basis_for_every_figure(tmp_path):
    result = told(tmp_path, "--json", "--prompt-speed", "1000", "--generation-speed", "100")
    assert result.exit_code == 0, result.stderr
    plan = json.loads(result.stdout)
    figures = plan["figures"]
    assert {figure["basis"] for figure in figures.values()} == {"exact", "estimated"}
    assert figures["traces_in"] == {"value": 20, "basis": "exact"}
    assert figures["score_requests"]["basis"] == "exact"
    assert figures["blocks"]["basis"] == figures["total_prompt_tokens"]["basis"] == "estimated"
    assert figures["hours"]["value"] > 0
    assert figures["cost"]["value"] is None
    assert plan["rejected"] == {"cut_before_think_end": 1, "language": 1}


def test_every_line_of_the_table_says_how_sure_it_is(tmp_path):
    lines = told(tmp_path).stdout.splitlines()
    rows = [line for line in lines if any(character.isdigit() for character in line)]
    assert len(rows) >= 13
    assert all("exact" in row or "estimated" in row for row in rows)


def test_prices_of_the_config_are_used_unless_others_are_given(tmp_path):
    keys = ("llm.price_per_million_prompt_tokens", "llm.price_per_million_completion_tokens")
    priced = [part for key in keys for part in ("--set", f"{key}=1")]
    once = json.loads(told(tmp_path, "--json", *priced).stdout)["figures"]["cost"]["value"]
    prices = ("--prompt-price", "2", "--completion-price", "2")
    twice = json.loads(told(tmp_path, "--json", *priced, *prices).stdout)["figures"]["cost"]["value"]
    assert twice == pytest.approx(2 * once)
    assert once > 0


def test_a_source_that_is_not_there_is_named(tmp_path):
    result = told(tmp_path, "-s", str(tmp_path / "no.parquet"))
    assert result.exit_code == 1
    assert "no.parquet" in result.stderr


def test_one_speed_without_the_other_is_refused(tmp_path):
    result = told(tmp_path, "--prompt-speed", "100")
    assert result.exit_code == 2
    assert "--generation-speed" in result.stderr
