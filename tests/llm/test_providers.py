"""Providers that know less than vLLM, or say otherwise what is wrong: fields are left out, keys refused."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from pipeline.llm.model import (
    Constraint,
    ContextTooLong,
    EndpointRefused,
    EndpointUnavailable,
    RequestRefused,
)
from tests.llm.questions import DIGIT, GRADES, LABEL, TEXT, ask, question
from tests.servers.stub_llm import StubLlm


def openai(text: str) -> Any:
    return {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": None}}


def google(text: str) -> Any:
    return [{"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}}]


def pydantic(field: str) -> Any:
    return [{"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted"}]


@dataclass
class Picky(StubLlm):
    """Refuses requests that have one of these fields, with that field's status and body."""

    refuses: dict[str, tuple[int, Any]] = field(default_factory=dict)

    async def _respond(
        self, request: web.Request, body: dict[str, Any], fault: str | None
    ) -> web.StreamResponse:
        for name, (status, told) in self.refuses.items():
            if name in body:
                return web.json_response(told, status=status)
        return await super()._respond(request, body, fault)


REFUSALS: list[tuple[str, str, Constraint, int, Any]] = [
    ("structured_outputs", "vllm", GRADES, 400, openai("Unrecognized request argument: structured_outputs")),
    ("structured_outputs", "vllm", DIGIT, 422, {"detail": pydantic("structured_outputs")}),
    ("response_format", "x", GRADES, 400, openai("This response_format type is unavailable now")),
    ("response_format", "x", GRADES, 400, openai("Invalid schema for response_format 'Grades'")),
    ("logprobs", "x", DIGIT, 400, openai("`logprobs` is not supported with this model")),
    ("top_logprobs", "x", DIGIT, 422, {"message": {"detail": pydantic("top_logprobs")}}),
    (
        "seed",
        "x",
        TEXT,
        400,
        google('Invalid JSON payload received. Unknown name "seed": Cannot find field.'),
    ),
    ("temperature", "x", TEXT, 400, openai("'temperature' does not support 0.0 with this model.")),
    ("max_tokens", "x", TEXT, 400, openai("'max_tokens' is not supported, use 'max_completion_tokens'.")),
]


@pytest.mark.parametrize(("name", "owner", "constraint", "status", "told"), REFUSALS)
def test_a_field_that_the_endpoint_refuses_is_left_out_from_then_on(
    name: str, owner: str, constraint: Constraint, status: int, told: Any
) -> None:
    answers = {id(GRADES): '{"formulas": 2, "missing": []}', id(DIGIT): "2", id(TEXT): "x = 3"}
    picky = Picky(refuses={name: (status, told)}, owned_by=owner, answer=lambda body: answers[id(constraint)])
    with picky as stub:
        first, second = (ask(stub.endpoint, question(constraint, seed=n)) for n in (1, 2))
        asked = [seen.body for seen in stub.requests]
    assert first[0].text == second[0].text == answers[id(constraint)]
    assert first[0].usage.retries == 1
    assert [name in body for body in asked] == [True, False] * 2, "each client learns it with one request"
    if name == "max_tokens":
        assert asked[1]["max_completion_tokens"] == 64


def test_an_endpoint_that_refuses_several_fields_gets_the_rest() -> None:
    refuses = {
        name: (400, openai(f"Unsupported parameter: '{name}' is not supported with this model."))
        for name in ("max_tokens", "logprobs", "temperature")
    }
    with Picky(refuses=refuses, owned_by="somebody", answer=lambda body: "2") as stub:
        first, second = ask(stub.endpoint, question(DIGIT), question(DIGIT, seed=8))
    assert first.text == second.text == "2"
    sent = stub.requests[-1].body
    assert sent["max_completion_tokens"] == 64
    assert not refuses.keys() & sent.keys()


def test_what_one_endpoint_refuses_another_still_gets() -> None:
    refuses = {"seed": (400, openai("Unknown parameter: 'seed'."))}
    requests = [question(seed=n) for n in range(30)]
    with Picky(refuses=refuses, latency_seconds=0.01) as picky, StubLlm(latency_seconds=0.01) as other:
        ask([picky.endpoint, other.endpoint], *requests, max_in_flight=4)
        assert picky.totals.requests > 0
        assert other.totals.requests > 0
        assert "seed" not in picky.requests[-1].body
        assert all("seed" in seen.body for seen in other.requests)


def test_vllm_and_another_provider_are_each_asked_in_their_own_way() -> None:
    requests = [question(GRADES, seed=n) for n in range(30)]
    with StubLlm(latency_seconds=0.01) as vllm, StubLlm(owned_by="x", latency_seconds=0.01) as other:
        ask([vllm.endpoint, other.endpoint], *requests, max_in_flight=4)
        for stub, field in ((vllm, "structured_outputs"), (other, "response_format")):
            assert stub.requests
            assert {
                frozenset(seen.body) & {"structured_outputs", "response_format"} for seen in stub.requests
            } == {frozenset({field})}


@pytest.mark.parametrize("text", ["API key not valid. Please pass a valid API key.", "Invalid API key"])
def test_a_key_that_is_refused_with_a_400_stops_at_once_with_the_remedy(text: str) -> None:
    refused = Picky(refuses={"messages": (400, google(text))}, owned_by="google")
    with refused as stub, pytest.raises(EndpointRefused) as failure:
        ask(stub.endpoint, question(), api_key_env="MY_KEY")
    assert len(stub.requests) == 1
    assert f"does not accept the key (400: {text})" in str(failure.value)
    assert "environment variable MY_KEY" in str(failure.value)


@pytest.mark.parametrize(
    "told", [openai("bad colour"), google("bad colour"), {"detail": "bad colour"}, {"message": "bad colour"}]
)
def test_what_a_provider_says_is_read_however_it_is_wrapped(told: Any) -> None:
    with (
        Picky(refuses={"messages": (400, told)}) as stub,
        pytest.raises(RequestRefused, match="400 bad colour"),
    ):
        ask(stub.endpoint, question())


TOO_LONG: list[tuple[int, Any]] = [
    (400, openai("This model's maximum context length is 700 tokens. However, you requested 900 tokens.")),
    (400, openai("The decoder prompt (length 900) is longer than the maximum model length of 700.")),
    (400, {"error": {"code": "context_length_exceeded", "message": "Please make it shorter."}}),
    (400, {"error": {"code": 400, "message": "request (900) exceeds the available context size (700)"}}),
    (500, {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}),
    (400, {"object": "error", "message": "The input (900) is longer than the model's context length."}),
    (413, openai("Request too large for model `m` on tokens per minute (TPM): Limit 700, Requested 900")),
    (429, openai("Rate limit reached on tokens per min (TPM): Limit 7,000, Used 0, Requested 9,000.")),
    (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 700. Given: 900"}),
    (422, {"error": "Input validation error: `inputs` must have less than 700 tokens. Given: 900"}),
    (500, {"error": "prompt too long; exceeded max context length by 200 tokens"}),
    (400, {"error": {"type": "invalid", "message": "prompt is too long: 900 tokens > 700 maximum"}}),
    (400, openai("input length and `max_tokens` exceed context limit: 500 + 400 > 700")),
    (400, {"message": "Prompt contains 900 tokens, too large for model with 700 maximum context length"}),
    (400, google("The input token count (900) exceeds the maximum number of tokens allowed (700).")),
    (400, openai("This model's maximum prompt length is 700 but the request contains 900 tokens.")),
    (400, {"message": "too many tokens: the prompt cannot have more than 700"}),
    (400, openai("Prompt exceeds max length")),
    (400, openai("Invalid request: Your request exceeded model token limit: 700")),
    (400, openai("Range of input length should be [1, 700]")),
    (400, {"message": "Input is too long for requested model."}),
    (400, {"error": "The number of tokens to keep is greater than the context length"}),
    (400, openai("Please reduce the length of the messages or completion.")),
    (400, openai("Prompt length (900) exceeds maximum input length (700).")),
]  # fmt: skip


@pytest.mark.parametrize(("status", "told"), TOO_LONG)
def test_a_prompt_that_does_not_fit_is_told_whatever_the_server_calls_its_window(
    status: int, told: Any
) -> None:
    with (
        Picky(refuses={"messages": (status, told)}, owned_by="x") as stub,
        pytest.raises(ContextTooLong, match=LABEL),
    ):
        ask(stub.endpoint, question(), deadline_seconds=600)
    assert len(stub.requests) == 1, "not asked again"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (429, openai("Rate limit reached (TPM): Limit 7000, Used 6900, Requested 900. Try again in 1 s.")),
        (500, openai("failed to allocate the KV cache for this context size")),
        (503, openai("The model is loading its context window")),
        (400, openai("max_tokens is too large: 9000. This model supports at most 700 completion tokens")),
        (413, openai("Request entity too large")),
    ],
)
def test_what_only_sounds_like_a_prompt_too_long_is_none(status: int, told: Any) -> None:
    with (
        Picky(refuses={"messages": (status, told)}, owned_by="x") as stub,
        pytest.raises((EndpointUnavailable, RequestRefused)),
    ):
        ask(stub.endpoint, question(), deadline_seconds=0.5)
