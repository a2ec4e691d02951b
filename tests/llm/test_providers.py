"""Providers that know less than vLLM, or say otherwise what is wrong: fields are left out, keys refused."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from pipeline.config import LlmConfig
from pipeline.llm.client import Client
from pipeline.llm.deviations import Deviation
from pipeline.llm.model import (
    Constraint,
    ContextTooLong,
    EndpointRefused,
    EndpointUnavailable,
    Reply,
    RequestRefused,
)
from tests.llm.questions import DIGIT, GRADES, LABEL, TEXT, ask, ask_and_count, question
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


@dataclass
class Answering(StubLlm):
    """Answers chat requests with these in turn, then as the stub does; keeps the queries that it was sent."""

    answers: list[Callable[[], web.Response]] = field(default_factory=list)
    owned_by: str = "x"

    async def _respond(
        self, request: web.Request, body: dict[str, Any], fault: str | None
    ) -> web.StreamResponse:
        self.queries.append(request.query_string)
        return self.answers.pop(0)() if self.answers else await super()._respond(request, body, fault)

    async def _models(self, request: web.Request) -> web.Response:
        self.queries.append(request.query_string)
        return await super()._models(request)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.queries: list[str] = []


def error_of_200(error: Any, **beside: Any) -> Callable[[], web.Response]:
    return lambda: web.json_response({"error": error, **beside})


IN_CHOICE = {"choices": [{"error": {"code": 502, "message": "Provider is away"}}]}
PASSING_ERRORS: list[tuple[Callable[[], web.Response], str]] = [
    (error_of_200({"code": 429, "message": "Slow down"}), "429 Slow down"),
    (error_of_200({"message": "Internal failure", "type": "server_error"}), "500 Internal failure"),
    (error_of_200("Model is overloaded"), "429 Model is overloaded"),
    (error_of_200({"code": "rate_limit", "message": "Soon"}, choices=[]), "429 rate_limit: Soon"),
    (lambda: web.json_response(IN_CHOICE), "502 Provider is away"),
    (lambda: web.json_response({"object": "error", "message": "Dead", "code": 503}), "503 Dead"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "reads"), PASSING_ERRORS)
def test_an_error_in_an_answer_of_status_200_is_asked_again_and_told_in_its_words(
    answer: Callable[[], web.Response], reads: str
) -> None:
    with Answering(answers=[answer, answer]) as stub:
        (reply,), total = ask_and_count(stub.endpoint, question())
    assert reply.text
    assert (total.retries, total.invalid_replies) == (2, 0)
    with Answering(answers=[answer] * 1_000) as stub, pytest.raises(EndpointUnavailable) as failure:
        ask(stub.endpoint, question(), deadline_seconds=0.3)
    assert reads in str(failure.value)


def test_an_error_in_an_answer_of_status_200_is_as_final_as_its_status() -> None:
    final: list[tuple[Any, type[Exception]]] = [
        ({"code": 401, "message": "Who are you?"}, EndpointRefused),
        ({"message": "Invalid API key"}, EndpointRefused),
        ({"code": 402, "message": "Insufficient credits"}, EndpointRefused),
        ({"type": "invalid_request_error", "message": "What colour?"}, RequestRefused),
        ({"code": "context_length_exceeded", "message": "Shorter, please"}, ContextTooLong),
    ]
    for error, kind in final:
        with Answering(answers=[error_of_200(error)]) as stub, pytest.raises(kind):
            ask(stub.endpoint, question())
        assert len(stub.requests) == 1


def test_an_error_that_is_null_is_none() -> None:
    with StubLlm(owned_by="x", edit=lambda done: done.update(error=None)) as stub:
        assert ask(stub.endpoint, question())[0].text


NO_SYSTEM: list[tuple[int, Any]] = [
    (400, openai("Developer instruction is not enabled for this model")),
    (400, openai("System role not supported")),
    (400, openai("Conversation roles must alternate user/assistant/user/assistant/...")),
    (400, openai("Unsupported value: 'messages[0].role' does not support 'system' with this model.")),
    (422, openai("Template error: system messages are not allowed")),
    (500, {"error": {"code": 500, "message": "Jinja Exception: System role not supported"}}),
    (400, openai("Only user and assistant roles are supported!")),
]


@dataclass
class WithoutSystem(StubLlm):
    """A model whose template knows no system role."""

    told: tuple[int, Any] = NO_SYSTEM[0]

    async def _respond(
        self, request: web.Request, body: dict[str, Any], fault: str | None
    ) -> web.StreamResponse:
        if any(message["role"] == "system" for message in body["messages"]):
            return web.json_response(self.told[1], status=self.told[0])
        return await super()._respond(request, body, fault)


@pytest.mark.parametrize("told", NO_SYSTEM)
def test_without_a_system_role_its_prompt_stands_before_the_users_text_told_once(
    told: tuple[int, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with WithoutSystem(told=told) as stub:
        first, second = ask(stub.endpoint, question(seed=1), question(seed=2), max_in_flight=1)
        sent = [seen.body["messages"] for seen in stub.requests]
    text = question().messages[1].content
    assert sent[1] == sent[2] == [{"role": "user", "content": f"You write notes.\n\n{text}"}]
    assert len(sent) == 3
    assert first.deviations == second.deviations == (Deviation.SYSTEM_IN_USER,)
    assert [record.message for record in caplog.records if "no system role" in record.message] == [
        f"endpoint {stub.endpoint}: the model knows no system role: the system prompt is put before the "
        "user's text"
    ]


def test_what_only_mentions_a_system_changes_no_prompt() -> None:
    for status, text in ((500, "not supported on this system"), (429, "system message: not now")):
        refused = Picky(refuses={"messages": (status, openai(text))})
        with refused as stub, pytest.raises(EndpointUnavailable):
            ask(stub.endpoint, question(), deadline_seconds=0.3)
        assert all(seen.body["messages"][0]["role"] == "system" for seen in stub.requests)


@pytest.mark.parametrize("name", ["seed", "temperature"])
def test_a_reply_says_what_its_endpoint_did_not_take(name: str, caplog: pytest.LogCaptureFixture) -> None:
    refused = Picky(refuses={name: (400, openai(f"Unknown parameter: '{name}'"))}, owned_by="x")
    with refused as stub:
        replies = ask(stub.endpoint, question(seed=1), question(seed=2), max_in_flight=1)
    assert [reply.deviations for reply in replies] == [(Deviation(f"without_{name}"),)] * 2
    lines = [record.message for record in caplog.records]
    assert lines.count(f"endpoint {stub.endpoint}: takes no {name}: requests are sent without it") == 1


def test_a_query_of_the_base_url_is_sent_with_every_call() -> None:
    with Answering() as stub:
        ask(f"{stub.endpoint}/?api-version=2025-04-01", question(), question(seed=8))
    assert stub.queries == ["api-version=2025-04-01"] * 3


PAGES: list[tuple[Callable[[], web.Response], str]] = [
    (lambda: web.Response(text="<html>Welcome</html>", content_type="text/html"), "answers with a web page"),
    (
        lambda: web.Response(status=302, headers={"Location": "https://me:pw@there/login"}),
        "redirects to https://there/login",
    ),
    (lambda: web.Response(status=308, headers={"Location": "https://t/v1"}), "redirects to https://t/v1"),
    (
        lambda: web.Response(text='data: {"choices": []}', content_type="text/event-stream"),
        "answers with a stream of events, though none was asked for",
    ),
    (lambda: web.Response(status=405, text="No such method"), "takes no chat completions (405"),
    (lambda: web.Response(status=501, text="No such method"), "takes no chat completions (501"),
]


@pytest.mark.parametrize(("page", "reads"), PAGES)
def test_an_endpoint_that_is_a_page_from_the_first_is_refused_at_once_with_its_url(
    page: Callable[[], web.Response], reads: str
) -> None:
    with Answering(answers=[page] * 9) as stub, pytest.raises(EndpointRefused) as failure:
        ask(stub.endpoint, question())
    assert len(stub.requests) == 1
    assert f"endpoint {stub.endpoint} {reads}" in str(failure.value)
    assert "is this the right URL?" in str(failure.value)


@pytest.mark.parametrize("page", [page for page, _ in PAGES[:3]])
def test_a_page_of_an_endpoint_that_has_worked_passes(page: Callable[[], web.Response]) -> None:
    async def both(endpoint: str) -> list[Reply]:
        async with Client(LlmConfig(), [endpoint], "stub", None) as client:
            return [await client.ask(question(seed=n)) for n in range(2)]

    with Answering() as stub:
        stub.edit = lambda completion: stub.answers.append(page) if len(stub.requests) == 1 else None
        _, second = asyncio.run(both(stub.endpoint))
    assert second.usage.retries == 1


def test_a_proxys_page_of_a_bad_gateway_passes_also_at_the_first_reply() -> None:
    page = web.Response
    answers = [lambda: page(status=502, text="<html>Bad gateway</html>", content_type="text/html")] * 2
    with Answering(answers=answers) as stub:
        (reply,) = ask(stub.endpoint, question())
    assert reply.usage.retries == 2
