"""What the client promises where nothing goes wrong."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.config import LlmConfig, SamplingConfig
from pipeline.llm.cache import ReplyCache
from pipeline.llm.client import Client
from pipeline.llm.model import Choice, FreeText, Usage
from tests.llm.questions import DIGIT, GRADES, Grades, ask, ask_and_count, question
from tests.servers.stub_llm import StubLlm


def test_a_choice_comes_with_the_probability_of_every_option() -> None:
    with StubLlm() as stub:
        (reply,) = ask(stub.endpoint, question(DIGIT))
    assert reply.probabilities is not None
    assert set(reply.probabilities) == set(DIGIT.options)
    assert sum(reply.probabilities.values()) == pytest.approx(1)
    assert reply.text == max(reply.probabilities, key=lambda o: reply.probabilities[o])


def test_a_choice_without_logprobs_has_no_probabilities_instead_of_invented_ones() -> None:
    with StubLlm(logprobs=False) as stub:
        (reply,) = ask(stub.endpoint, question(DIGIT))
    assert reply.text in DIGIT.options
    assert reply.probabilities is None


def test_candidates_that_differ_by_a_space_count_for_one_option() -> None:
    from pipeline.llm.chat_completions import parse_reply

    top = [
        {"token": "2", "logprob": -1.0},
        {"token": " 2", "logprob": -1.0},
        {"token": "0", "logprob": -1.0},
        {"token": "the", "logprob": -0.1},
    ]
    message = {"content": " 2"}
    choice = {"message": message, "logprobs": {"content": [{"top_logprobs": top}]}}
    reading = parse_reply(question(Choice(("0", "2"))), {"choices": [choice]}, LlmConfig())
    assert reading.text == "2"
    assert reading.probabilities == {"0": pytest.approx(1 / 3), "2": pytest.approx(2 / 3)}


def test_a_json_reply_is_an_object_of_its_schema() -> None:
    with StubLlm() as stub:
        (reply,) = ask(stub.endpoint, question(GRADES))
    assert isinstance(reply.value, Grades)


def test_json_in_a_code_fence_is_read() -> None:
    fenced = '```json\n{"formulas": 2, "missing": []}\n```'
    with StubLlm(answer=lambda body: fenced) as stub:
        (reply,) = ask(stub.endpoint, question(GRADES))
    assert reply.value == Grades(formulas=2, missing=[])


def test_text_comes_without_the_white_space_around_it() -> None:
    with StubLlm(answer=lambda body: "\n  x = 3 \n") as stub:
        (reply,) = ask(stub.endpoint, question())
    assert reply.text == "x = 3"


def test_vllm_is_asked_with_structured_outputs() -> None:
    with StubLlm(owned_by="vllm") as stub:
        ask(stub.endpoint, question(DIGIT), question(GRADES))
    bodies = [seen.body for seen in stub.requests]
    assert {"choice": list(DIGIT.options)} in [body["structured_outputs"] for body in bodies]
    assert any("json" in body["structured_outputs"] for body in bodies)
    assert all("response_format" not in body for body in bodies)


def test_others_are_asked_with_response_format() -> None:
    with StubLlm(owned_by="somebody") as stub:
        ask(stub.endpoint, question(GRADES))
    (seen,) = stub.requests
    assert seen.body["response_format"]["json_schema"]["schema"] == Grades.model_json_schema()
    assert "structured_outputs" not in seen.body


def test_configured_constraints_overrule_what_the_endpoint_seems_to_be() -> None:
    with StubLlm(owned_by="vllm", answer=lambda body: "2") as stub:
        ask(stub.endpoint, question(DIGIT), constraints="none")
    assert "structured_outputs" not in stub.requests[0].body


def test_extra_body_is_part_of_every_request() -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    with StubLlm() as stub:
        ask(stub.endpoint, question(), extra_body=extra)
    assert stub.requests[0].body["chat_template_kwargs"] == {"enable_thinking": False}


def test_vllm_is_told_all_of_the_sampling_so_that_it_takes_none_from_the_models_folder() -> None:
    with StubLlm() as stub:
        ask(stub.endpoint, question(), sampling={"top_k": 20, "top_p": 0.95})
    told = {name: stub.requests[0].body[name] for name in SamplingConfig.model_fields}
    assert told == SamplingConfig(top_k=20, top_p=0.95).model_dump()


def test_an_endpoint_that_is_no_vllm_is_told_only_what_is_not_usual() -> None:
    with StubLlm(owned_by="somebody") as stub:
        ask(stub.endpoint, question(), sampling={"top_p": 0.95})
    body = stub.requests[0].body
    assert {name: body[name] for name in SamplingConfig.model_fields if name in body} == {"top_p": 0.95}


def test_sampling_in_extra_body_is_refused_with_its_place() -> None:
    with pytest.raises(ValidationError, match=r"extra_body has top_p: set llm\.sampling\.top_p instead"):
        LlmConfig(extra_body={"top_p": 0.9})


def test_no_more_requests_are_open_than_configured() -> None:
    requests = [question(seed=n) for n in range(30)]
    with StubLlm(latency_seconds=0.02) as stub:
        ask(stub.endpoint, *requests, max_in_flight=4)
    assert stub.totals.most_running == 4


def test_the_least_busy_endpoint_gets_the_next_request() -> None:
    requests = [question(seed=n) for n in range(60)]
    with StubLlm(latency_seconds=0.1) as slow, StubLlm(latency_seconds=0.01) as fast:
        ask([slow.endpoint, fast.endpoint], *requests, max_in_flight=6)
    assert slow.totals.requests + fast.totals.requests == 60
    assert fast.totals.requests > 2 * slow.totals.requests > 0


def test_equal_requests_in_flight_share_one_call() -> None:
    with StubLlm(latency_seconds=0.05) as stub:
        (first, second), total = ask_and_count(stub.endpoint, question(), question())
    assert stub.totals.requests == 1
    assert first.text == second.text
    assert total.requests == 1
    assert second.usage == Usage(replies_from_disk=1)


def test_usage_is_counted_by_purpose_and_tells_cached_from_computed_tokens() -> None:
    shared = "The same beginning of a trace. " * 40

    async def run(endpoint: str) -> dict[str, Usage]:
        async with Client(LlmConfig(), [endpoint], "stub", None) as client:
            await client.ask(question(content=shared + "First?"))
            await client.ask(question(DIGIT, content=shared + "Second?"))
            return client.usage

    with StubLlm() as stub:
        usage = asyncio.run(run(stub.endpoint))
    assert usage == {
        "compress": Usage(
            requests=2,
            prompt_tokens=stub.totals.prompt_tokens,
            cached_tokens=stub.totals.cached_tokens,
            completion_tokens=stub.totals.completion_tokens,
        )
    }
    assert 0 < usage["compress"].cached_tokens < usage["compress"].prompt_tokens / 2


def test_the_context_window_is_what_the_endpoint_tells() -> None:
    assert _window() == 32_768


def test_a_configured_context_window_overrules_the_endpoint() -> None:
    assert _window(context_window=4096) == 4096


def test_the_context_window_is_unknown_where_nobody_tells() -> None:
    assert _window(owned_by="somebody") is None


def test_a_request_to_the_stub_gives_the_same_reply_every_time() -> None:
    texts = set()
    for _ in range(3):
        with StubLlm() as stub:
            texts.add(ask(stub.endpoint, question(GRADES))[0].text)
    assert len(texts) == 1


def _window(owned_by: str = "vllm", context_window: int | None = None) -> int | None:
    async def run(endpoint: str) -> int | None:
        config = LlmConfig(context_window=context_window)
        async with Client(config, [endpoint], "stub", None) as client:
            return await client.context_window()

    with StubLlm(max_model_len=32_768, owned_by=owned_by) as stub:
        return asyncio.run(run(stub.endpoint))


def test_whatever_yaml_can_hold_in_extra_body_reaches_the_server() -> None:
    with StubLlm() as stub:
        ask(stub.endpoint, question(), extra_body={"logit_bias": {50256: -100}, "thinking_budget": 2**70})
    assert stub.requests[0].body["logit_bias"] == {"50256": -100}


def test_the_line_end_of_a_mounted_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mounted\n")
    with StubLlm(api_key="sk-mounted") as stub:
        ask(stub.endpoint, question())
    assert stub.totals.requests == 1


def test_neither_a_netrc_file_nor_a_proxy_that_is_bypassed_gets_in_the_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with StubLlm() as stub:
        ask(stub.endpoint, question(), deadline_seconds=5)
    assert stub.requests[0].authorization.startswith("Bearer ")


def test_free_text_is_asked_again_word_for_word_and_counts_its_own_tokens() -> None:
    asked = replace(question(FreeText()), temperature=None, max_tokens=None, sampling={"top_p": 0.9})
    with StubLlm(answer=lambda body: "word " * 8, faults=["no_choices", None]) as stub:
        (reply,) = ask(stub.endpoint, asked)
    first, second = (seen.body for seen in stub.requests)
    assert first == second
    assert not first.keys() & {"max_tokens", "temperature", "top_k"}
    assert first["top_p"] == 0.9
    assert reply.used.completion_tokens == 11
    assert reply.usage.completion_tokens > reply.used.completion_tokens


def test_free_text_is_not_put_on_disk(tmp_path: Path) -> None:
    with (
        StubLlm() as stub,
        ReplyCache(tmp_path / "r.jsonl") as cache,
        pytest.raises(ValueError, match="is its asker's to keep"),
    ):
        ask(stub.endpoint, question(FreeText()), cache=cache)


def test_endpoints_that_were_looked_at_share_the_first_requests() -> None:
    async def run(*urls: str) -> None:
        async with Client(LlmConfig(), urls, "stub", None) as client:
            await client.look()
            await asyncio.gather(*(client.ask(question(seed=n)) for n in range(8)))

    with StubLlm() as one, StubLlm() as two:
        asyncio.run(run(one.endpoint, "http://127.0.0.1:9/v1", two.endpoint))
    assert [len(stub.requests) for stub in (one, two)] == [4, 4]
