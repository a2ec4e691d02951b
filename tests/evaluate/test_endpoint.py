"""A model behind endpoints: asked by the build's client, whole responses kept as they come, faults named."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web

from pipeline.config import SamplingConfig as BuildSampling
from pipeline.evaluate.answering import Came, Failed
from pipeline.evaluate.config import AskingSection, EvaluateConfig, SamplingConfig
from pipeline.evaluate.endpoint import TOO_LONG, EndpointModel
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.evaluation import evaluate
from pipeline.evaluate.local_model import Written
from pipeline.evaluate.modes import Mode
from tests.servers.stub_llm import StubLlm

pytestmark = pytest.mark.slow
PATIENT = AskingSection()
HASTY = AskingSection(request_timeout_seconds=0.5, deadline_seconds=1)


def repeats(body: dict[str, Any]) -> str:
    """What it was asked, as text that no build would take."""
    return f"{body['messages'][-1]['content']}\n" * 8


def streamed(model: EndpointModel, prompts: list[str], **sampling: Any) -> dict[int, Written | Failed]:
    told = model.resolved(SamplingConfig(**{"new_tokens": 20, **sampling}))
    came: list[Came] = []
    for some in model.stream(prompts, list(range(len(prompts))), Mode.VANILLA, told):
        came += some
    assert sorted(number for number, _ in came) == list(range(len(prompts)))
    return dict(came)


def asked(stub: StubLlm, prompts: list[str], **sampling: Any) -> list[dict[str, Any]]:
    """The bodies of what one prompt after the other is asked with."""
    streamed(EndpointModel(stub.endpoint, AskingSection(max_in_flight=1)), prompts, **sampling)
    return [seen.body for seen in stub.requests]


def test_whatever_a_model_says_is_its_response() -> None:
    with StubLlm(answer=repeats, faults=[None, "empty", "refusal", "length"]) as stub:
        model = EndpointModel(stub.endpoint, AskingSection(max_in_flight=1))
        came = streamed(model, ["one", "two", "three", "four"])
    assert len(stub.requests) == 4, "none is asked again"
    texts = [written.text for written in came.values() if isinstance(written, Written)]
    assert texts[0] == "one\n" * 8
    assert texts[1] == ""
    assert texts[2].startswith("I'm sorry")
    assert [written.response.is_ended for written in came.values()] == [True, True, True, False]
    assert all(written.prompt_tokens > 0 for written in came.values())
    assert len(came[0].response.ids) == 9


def test_many_are_open_at_once_and_each_comes_when_it_is_there() -> None:
    with StubLlm(answer=repeats, latency_seconds=0.3) as stub:
        model = EndpointModel(stub.endpoint, AskingSection(max_in_flight=10))
        first = next(
            iter(model.stream([f"p{n}" for n in range(30)], [0] * 30, Mode.VANILLA, SamplingConfig()))
        )
        assert 0 < len(first) <= 10
        assert stub.totals.most_running == 10


def test_several_endpoints_share_the_requests_and_one_that_dies_leaves_them_to_the_other() -> None:
    with StubLlm(answer=repeats) as one:
        with StubLlm(answer=repeats) as two:
            place = f"{one.endpoint},{two.endpoint}#stub"
            streamed(EndpointModel(place, PATIENT), [f"p{n}" for n in range(40)])
            assert min(len(one.requests), len(two.requests)) >= 10
        model = EndpointModel(place, PATIENT)
        came = streamed(model, [f"q{n}" for n in range(10)])
        assert model.digest == EndpointModel(one.endpoint, PATIENT).digest, "a second one changes nothing"
    assert all(isinstance(written, Written) for written in came.values())


def test_vllm_is_told_all_of_a_sampling_that_leaves_nothing_to_the_makers() -> None:
    with StubLlm() as stub:
        (body,) = asked(stub, ["p"], temperature=0.6, top_p=0.95, top_k=20, min_p=0.0)
    told = BuildSampling(top_p=0.95, top_k=20).model_dump() | {"temperature": 0.6}
    assert {name: body[name] for name in told} == told
    assert body["max_tokens"] == 20
    assert body["skip_special_tokens"] is False


def test_the_likeliest_token_is_that_of_the_model_alone() -> None:
    with StubLlm() as stub:
        (body,) = asked(stub, ["p"], temperature=0)
        model = EndpointModel(stub.endpoint, PATIENT)
    told = BuildSampling().model_dump() | {"temperature": 0}
    assert {name: body[name] for name in told} == told
    resolved = model.resolved(SamplingConfig(temperature=0))
    assert (resolved.top_p, resolved.top_k) == (1.0, 0)


def test_what_is_left_to_the_makers_is_not_said_and_stays_unknown() -> None:
    with StubLlm() as stub:
        (body,) = asked(stub, ["p"], temperature=0.6)
        model = EndpointModel(stub.endpoint, PATIENT)
    assert body["temperature"] == 0.6
    assert not body.keys() & BuildSampling.model_fields.keys()
    assert model.resolved(SamplingConfig()) == SamplingConfig()
    with StubLlm() as stub:
        (body,) = asked(stub, ["p"])
    assert not body.keys() & {"temperature", *BuildSampling.model_fields}


def test_another_server_is_told_what_is_not_usual_and_no_field_of_vllm() -> None:
    with StubLlm(owned_by="somebody") as stub:
        (body,) = asked(stub, ["p"], temperature=0.6, top_p=0.95, top_k=0)
    assert {name: body[name] for name in body if name not in ("model", "messages", "seed")} == {
        "max_tokens": 20,
        "temperature": 0.6,
        "top_p": 0.95,
    }


def words(count: int) -> Callable[[dict[str, Any]], str]:
    return lambda body: "four" * count


def test_a_long_prompt_gets_all_that_the_window_leaves_and_no_less() -> None:
    # Tokens of the stub are four characters; its template takes some 13.
    with StubLlm(answer=words(500), max_model_len=1_000, cuts=True) as stub:
        came = streamed(EndpointModel(stub.endpoint, PATIENT), ["x" * 3_600], new_tokens=400)
        (written,) = came.values()
        assert written.prompt_tokens + len(written.response.ids) == 1_000
        assert not written.response.is_ended
        assert [seen.body.get("max_tokens") for seen in stub.requests] == [400, None]
        short = streamed(EndpointModel(stub.endpoint, PATIENT), ["y"], new_tokens=400)
        assert len(short[0].response.ids) == 400


def test_the_most_tokens_of_a_generation_config_do_not_cut_what_may_be_longer() -> None:
    with StubLlm(answer=words(500), max_model_len=1_000, cuts=True, new_tokens=10) as stub:
        came = streamed(EndpointModel(stub.endpoint, PATIENT), ["x" * 400], new_tokens=32_768)
        assert came[0].response.is_ended
        assert came[0].text == "four" * 500
        window = 1_000 - came[0].prompt_tokens
        assert [seen.body.get("max_tokens") for seen in stub.requests] == [None, window]


def test_a_prompt_that_does_not_fit_is_a_fault_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "task.jsonl"
    problems = [{"problem": "p" * length, "answer": "42"} for length in (10, 9_000, 20)]
    file.write_text("".join(json.dumps(problem) + "\n" for problem in problems))
    lines: list[str] = []
    with StubLlm(answer=lambda body: "\\boxed{42}", max_model_len=2_000) as stub:
        config = EvaluateConfig(models=(f"m={stub.endpoint}",), tasks=(str(file),))
        report = evaluate(config, tmp_path / "run", lines.append)
        requests = len(stub.requests)
        evaluate(config, tmp_path / "run", lines.append)
        assert len(stub.requests) == requests + 1, "only what did not fit is tried again"
    rows = pq.read_table(tmp_path / "run" / "generations.parquet").to_pylist()
    assert [(row["fault"], row["form_fault"]) for row in rows][1] == (TOO_LONG, TOO_LONG)
    assert [row["fault"] for row in rows] == ["", TOO_LONG, ""]
    assert report["results"][0]["faults"] == {TOO_LONG: 1}
    assert not report["missing"]
    (kept,) = (tmp_path / "run").glob("generations/*.jsonl")
    assert len(kept.read_text().splitlines()) == 3, "and its fault is written once"


def test_a_request_that_fails_for_good_is_missing_and_asked_again(tmp_path: Path) -> None:
    told: list[str] = []
    with StubLlm(answer=repeats, faults=["unprocessable", *["no_choices"] * 3]) as stub:
        config = EvaluateConfig(
            models=(f"m={stub.endpoint}",),
            tasks=("register-machine:2x2",),
            limit=4,
            llm=AskingSection(max_in_flight=1),
        )
        report = evaluate(config, tmp_path, told.append)
        why = report["missing"]["m"]["register-machine:2x2, vanilla"]
        assert sorted(why.values()) == [1, 1]
        assert any("422" in reason for reason in why)
        assert any("answered with no chat completion" in reason for reason in why)
        assert report["results"][0]["responses"] == 2
        assert any(
            line.endswith("2 of 4 responses are missing; run the same command to ask again") for line in told
        )
        report = evaluate(config, tmp_path, told.append)
    assert not report["missing"]
    assert report["results"][0]["responses"] == 4


def test_what_has_come_is_kept_where_the_endpoint_goes_and_only_the_rest_is_asked_then(
    tmp_path: Path,
) -> None:
    faults = [None] * 3 + ["hang"] * 20
    with StubLlm(answer=repeats, faults=faults) as stub:
        config = EvaluateConfig(
            models=(f"m={stub.endpoint}",),
            tasks=("register-machine:2x2",),
            limit=6,
            llm=HASTY.model_copy(update={"max_in_flight": 1}),
        )
        with pytest.raises(EvaluateError, match=r"no answer in time .*\n  what has come is kept"):
            evaluate(config, tmp_path, lambda line: None)
    with StubLlm(answer=repeats, port=stub.port) as again:
        report = evaluate(config, tmp_path, lambda line: None)
    assert len(again.requests) == 3
    assert report["results"][0]["responses"] == 6


@pytest.mark.parametrize(("finish", "ends"), [("eos", {}), ("sealed", {"sealed": 4}), (None, {"none": 4})])
def test_responses_that_nearly_all_ended_in_a_way_that_is_not_known_are_told(
    finish: str | None, ends: dict[str, int], tmp_path: Path
) -> None:
    def edit(completion: dict[str, Any]) -> None:
        completion["choices"][0]["finish_reason"] = finish

    with StubLlm(answer=repeats, edit=edit) as stub:
        config = EvaluateConfig(models=(f"m={stub.endpoint}",), tasks=("register-machine:2x2",), limit=4)
        report = evaluate(config, tmp_path, lambda line: None)
        again = evaluate(config, tmp_path, lambda line: None)
    assert report["results"][0]["truncated_rate"] == 0
    assert report["unknown_ends"] == again["unknown_ends"] == ({"m": ends} if ends else {})
    text = (tmp_path / "results.md").read_text()
    assert ("finish_reason that is not known" in text) == bool(ends)


def test_a_few_responses_of_unknown_end_are_taken_as_ended(tmp_path: Path) -> None:
    finishes = iter(["sealed", "stop"] * 2)

    def edit(completion: dict[str, Any]) -> None:
        completion["choices"][0]["finish_reason"] = next(finishes)

    with StubLlm(answer=repeats, edit=edit) as stub:
        config = EvaluateConfig(models=(f"m={stub.endpoint}",), tasks=("register-machine:2x2",), limit=4)
        assert not evaluate(config, tmp_path, lambda line: None)["unknown_ends"]


def test_seconds_of_responses_add_up_to_the_time_that_all_took(tmp_path: Path) -> None:
    with StubLlm(answer=repeats, latency_seconds=0.2) as stub:
        config = EvaluateConfig(
            models=(f"m={stub.endpoint}",),
            tasks=("register-machine:2x2",),
            limit=10,
            llm=AskingSection(max_in_flight=2),
        )
        began = time.monotonic()
        evaluate(config, tmp_path, lambda line: None)
        took = time.monotonic() - began
    rows = pq.read_table(tmp_path / "generations.parquet").to_pylist()
    assert 5 * 0.2 <= sum(row["seconds"] for row in rows) <= took


def test_what_is_wrong_with_an_endpoint_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EvaluateError, match=r"http://127\.0\.0\.1:9/v1: does not say what it serves"):
        EndpointModel("http://127.0.0.1:9/v1", PATIENT)
    with pytest.raises(EvaluateError, match=r"names no host; write http://host:8000/v1#NAME"):
        EndpointModel("http:///v1", PATIENT)
    with StubLlm() as stub, pytest.raises(EvaluateError, match=r"serves stub; name one: .*#NAME"):
        EndpointModel(f"{stub.endpoint}#other", PATIENT)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-key-of-this-test")
    with StubLlm(api_key="right") as stub, pytest.raises(EvaluateError) as refused:
        EndpointModel(stub.endpoint, PATIENT)
    assert "does not accept the key" in str(refused.value)
    assert "environment variable OPENAI_API_KEY" in str(refused.value)
    assert "sk-wrong" not in str(refused.value)
    # A server that lists no models is asked, and says then that it knows no such one.
    with StubLlm(owned_by="somebody") as stub:
        model = EndpointModel(f"{stub.endpoint}#other", PATIENT)
        with pytest.raises(EvaluateError, match=r"does not serve 'other'.*\n  set #NAME to a name it serves"):
            streamed(model, ["p"])


def test_an_endpoint_is_asked_once_as_it_is_served() -> None:
    with StubLlm() as stub:
        model = EndpointModel(stub.endpoint, PATIENT)
    assert model.modes([Mode.VANILLA]) == ([Mode.VANILLA], "")
    found, why_not = model.modes(list(Mode))
    assert found == [Mode.VANILLA]
    assert "asked once" in why_not
    assert model.modes([Mode.RESTART])[0] == []


def test_a_field_that_is_said_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match="extra_body has temperature, which is said elsewhere"):
        AskingSection(extra_body={"temperature": 1})


def test_what_an_endpoint_does_not_take_is_told_and_stays_with_its_responses(tmp_path: Path) -> None:
    class Cool(StubLlm):
        async def _respond(
            self, request: web.Request, body: dict[str, Any], fault: str | None
        ) -> web.StreamResponse:
            if "temperature" in body:
                return web.json_response({"error": {"message": "temperature is not supported"}}, status=400)
            return await super()._respond(request, body, fault)

    lines: list[str] = []
    with Cool(answer=repeats) as stub:
        config = EvaluateConfig(
            models=(f"m={stub.endpoint}",),
            tasks=("register-machine:2x2",),
            limit=3,
            sampling=SamplingConfig(temperature=0.6),
        )
        first = evaluate(config, tmp_path, lines.append)
        again = evaluate(config, tmp_path, lines.append)
    assert first["taken"] == again["taken"] == {"m": {"without_temperature": 3}}
    text = (tmp_path / "results.md").read_text()
    assert "- m: 3 responses of an endpoint that takes no temperature" in text
    assert lines.count(f"endpoint {stub.endpoint}: takes no temperature: requests are sent without it") == 1


def test_where_thinking_is_off_a_response_is_read_from_where_the_server_puts_thinking(tmp_path: Path) -> None:
    def moved(completion: dict[str, Any]) -> None:
        message = completion["choices"][0]["message"]
        message["reasoning"], message["content"] = message["content"], None

    with StubLlm(answer=lambda body: "\\boxed{42}", edit=moved) as stub:
        off = AskingSection(extra_body={"chat_template_kwargs": {"enable_thinking": False}})
        assert streamed(EndpointModel(stub.endpoint, off), ["p"])[0].text == "\\boxed{42}"
        assert streamed(EndpointModel(stub.endpoint, PATIENT), ["p"])[0].text.startswith("<think>")


def test_a_page_where_a_model_should_be_is_told(tmp_path: Path) -> None:
    class Page(StubLlm):
        async def _models(self, request: web.Request) -> web.Response:
            return web.Response(text="<html>Welcome</html>", content_type="text/html")

    with Page() as stub:
        with pytest.raises(EvaluateError, match=r"does not say what it serves .*answers with a web page"):
            EndpointModel(stub.endpoint, PATIENT)
        streamed(EndpointModel(f"{stub.endpoint}?api-version=1#stub", PATIENT), ["p"])
