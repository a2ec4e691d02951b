"""For every way an endpoint can fail: what happens, and what the user reads."""

import asyncio
import base64
import itertools
import logging
import re
import socket

import pytest

from pipeline.config import LlmConfig
from pipeline.llm.client import Client
from pipeline.llm.endpoints import SLOW_REMEDY
from pipeline.llm.model import (
    Choices,
    ContextTooLong,
    EndpointRefused,
    EndpointUnavailable,
    ReplyError,
    RequestRefused,
)
from tests.llm.questions import DIGIT, GRADES, LABEL, TEXT, ask, ask_and_count, question
from tests.servers.stub_llm import StubLlm

KEY = "sk-a-secret-of-this-test"
PASSING = ["server_error", "unavailable", "rate_limit", "reset", "invalid_json"]


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_is_asked_again_and_counted_as_retry(fault: str) -> None:
    with StubLlm(faults=[fault, fault, None]) as stub:
        (reply,), total = ask_and_count(stub.endpoint, question())
    assert reply.attempts == 1
    assert reply.usage.retries == total.retries == 2
    assert reply.usage.requests == 1
    seeds = {seen.body["seed"] for seen in stub.requests}
    assert len(stub.requests) == 3
    assert len(seeds) == 1, "the same question each time"


def test_a_hanging_request_is_given_up_and_asked_again() -> None:
    with StubLlm(faults=["hang", None]) as stub:
        (reply,) = ask(stub.endpoint, question(), request_timeout_seconds=0.3)
    assert reply.usage.retries == 1


@pytest.mark.parametrize(("fault", "at_least"), [("rate_limit_seconds", 1.2), ("rate_limit_date", 0.9)])
def test_rate_limit_waits_as_long_as_the_server_says(fault: str, at_least: float) -> None:
    # An HTTP date has whole seconds: two seconds ahead is at least one.
    seconds = 1.2 if fault == "rate_limit_seconds" else 2
    with StubLlm(faults=[fault, None], retry_after=seconds) as stub:
        ask(stub.endpoint, question())
    first, second = stub.requests
    assert second.at - first.at >= at_least


def test_a_rate_limit_holds_back_all_requests() -> None:
    requests = [question(seed=n) for n in range(6)]
    with StubLlm(faults=["rate_limit_seconds"], retry_after=1.2, latency_seconds=0.02) as stub:
        ask(stub.endpoint, *requests, max_in_flight=2)
    # Two were open when the answer came.
    first, _, *later = (seen.at for seen in stub.requests)
    assert len(later) == 5
    assert min(later) - first >= 1.2


def test_while_one_endpoint_asks_to_wait_the_others_are_asked() -> None:
    requests = [question(seed=n) for n in range(20)]
    with (
        StubLlm(rates={"rate_limit_seconds": 1.0}, retry_after=3600) as limited,
        StubLlm() as free,
    ):
        ask([limited.endpoint, free.endpoint], *requests, max_in_flight=4)
    assert free.totals.requests == 20
    assert len(limited.requests) <= 4


def test_rate_limits_set_no_endpoint_aside() -> None:
    requests = [question(seed=n) for n in range(5)]
    with StubLlm(faults=["rate_limit"] * 5) as stub:
        _, total = ask_and_count(stub.endpoint, *requests)
    assert total.retries == 5
    assert stub.models_asked == 1, "not probed again"


def test_a_rate_limit_beyond_the_deadline_is_not_waited_for() -> None:
    with (
        StubLlm(faults=["rate_limit_seconds"], retry_after=3600) as stub,
        pytest.raises(EndpointUnavailable, match=f"{LABEL}: no endpoint answered in time .*429"),
    ):
        ask(stub.endpoint, question(), deadline_seconds=5)


@pytest.mark.parametrize(
    ("fault", "reads"),
    [
        ("server_error", "500 Internal server error"),
        ("unavailable", "503 Loading"),
        ("rate_limit", "429 Too many requests"),
        ("hang", "no reply in time"),
        ("reset", "(?i)not enough data|connection reset|closed"),
        ("invalid_json", "Expecting value"),
    ],
)
def test_an_endless_passing_fault_ends_at_the_deadline_with_its_name(fault: str, reads: str) -> None:
    with StubLlm(rates={fault: 1.0}) as stub, pytest.raises(EndpointUnavailable) as failure:
        ask(stub.endpoint, question(), deadline_seconds=1, request_timeout_seconds=0.2)
    assert len(stub.requests) >= 2
    told, remedy = str(failure.value).split("\n")
    assert told.startswith(f"{LABEL}: no endpoint answered in time ({stub.endpoint}: ")
    assert re.search(reads, told)
    assert (
        remedy
        == f"  {SLOW_REMEDY if fault == 'hang' else 'see that a server runs there, or correct llm.endpoints'}"
    )


def test_nobody_at_the_endpoint_ends_at_the_deadline() -> None:
    endpoint = f"http://127.0.0.1:{_free_port()}/v1"
    with pytest.raises(EndpointUnavailable, match=f"{LABEL}: .*{endpoint}: Cannot connect"):
        ask(endpoint, question(), deadline_seconds=0.5)


def test_a_window_that_nobody_tells_in_time_names_the_endpoint_and_the_reason() -> None:
    endpoint = f"http://127.0.0.1:{_free_port()}/v1"

    async def window() -> None:
        async with Client(LlmConfig(deadline_seconds=0.5), [endpoint], "stub", None) as client:
            await client.context_window()

    with pytest.raises(EndpointUnavailable, match=f"the context window: .*{endpoint}: Cannot connect"):
        asyncio.run(window())


@pytest.mark.parametrize("url", ["localhost:8000/v1", "http://", "http://h:x/v1", "http://a b/v1"])
def test_what_is_no_url_is_refused_at_once_with_the_remedy(url: str) -> None:
    with pytest.raises(EndpointRefused, match=r"endpoint '.+' .+\n  write llm.endpoints as base URLs"):
        ask(url, question())


def test_user_and_password_of_a_url_reach_the_server_and_no_message() -> None:
    with StubLlm(faults=["unauthorized"]) as stub, pytest.raises(EndpointRefused) as failure:
        ask(stub.endpoint.replace("://", "://me:pass%40word@"), question())
    told = base64.b64encode(b"me:pass@word").decode()
    assert stub.requests[0].authorization == f"Basic {told}"
    assert str(failure.value).startswith(f"endpoint {stub.endpoint} ")


def test_a_dead_endpoint_is_set_aside_and_the_others_do_its_work() -> None:
    dead = f"http://127.0.0.1:{_free_port()}/v1"
    requests = [question(seed=n) for n in range(20)]
    with StubLlm() as stub:
        replies, total = ask_and_count([dead, stub.endpoint], *requests)
    assert len(replies) == stub.totals.requests == 20
    assert total.retries == 0


def test_an_endpoint_that_comes_back_is_used_again() -> None:
    port = _free_port()
    with StubLlm(port=port, faults=["server_error"] * 3) as stub:
        ask(stub.endpoint, question())
    assert stub.models_asked >= 2, "probed before its first request and after three failures"


@pytest.mark.parametrize(
    ("fault", "constraint", "reads"),
    [
        ("bad_json", GRADES, "not a Grades"),
        ("wrong_choice", DIGIT, "a reply that is none of 0, 1, 2, 3"),
        ("length", TEXT, "a reply cut at max_tokens"),
        ("length", GRADES, "a reply cut at max_tokens"),
        ("empty", TEXT, "an empty reply"),
        ("repeated", TEXT, "one passage over and over"),
        ("refusal", TEXT, "a refusal"),
    ],
)
def test_an_unusable_reply_is_asked_again_and_then_kept_for_inspection(
    fault: str, constraint: object, reads: str
) -> None:
    with StubLlm(faults=[fault] * 3) as stub, pytest.raises(ReplyError) as failure:
        ask(stub.endpoint, question(constraint), max_attempts=3)
    assert str(failure.value).startswith(f"{LABEL}: {reads}")
    assert str(failure.value).endswith("in each of 3 replies")
    assert len(failure.value.replies) == len(stub.requests) == 3


@pytest.mark.parametrize("text", ["A1 B2", "A1 B2 C3 D0", "1 2 3"])
def test_a_row_with_a_wrong_number_of_scores_is_asked_again_and_then_told(text: str) -> None:
    row = Choices(("A", "B", "C"), DIGIT.options)
    with StubLlm(answer=lambda body: text) as stub, pytest.raises(ReplyError) as failure:
        ask(stub.endpoint, question(row), max_attempts=2)
    assert str(failure.value).startswith(
        f"{LABEL}: a reply without one of 0, 1, 2, 3 for each of ('A', 'B', 'C')"
    )
    assert failure.value.replies == [text] * len(stub.requests) == [text] * 2


def test_a_second_attempt_has_another_seed_and_is_not_greedy() -> None:
    with StubLlm(faults=["empty", "empty", None]) as stub:
        (reply,), total = ask_and_count(stub.endpoint, question(temperature=0.0, seed=7))
    bodies = [seen.body for seen in stub.requests]
    assert [body["seed"] for body in bodies] == [7, 8, 9]
    assert [body["temperature"] for body in bodies] == [0.0, 0.3, 0.3]
    assert reply.attempts == 3
    assert reply.usage.invalid_replies == 2
    assert reply.usage.completion_tokens == stub.totals.completion_tokens, "bad replies cost too"
    assert total == reply.usage


@pytest.mark.parametrize("fault", ["no_choices", "message_text", "content_list", "content_number"])
def test_a_reply_that_is_no_text_is_asked_again(fault: str) -> None:
    with StubLlm(faults=[fault, None]) as stub:
        (reply,) = ask(stub.endpoint, question())
    assert reply.text
    assert reply.usage.invalid_replies == 1


@pytest.mark.parametrize("fault", ["usage_text", "usage_fractions"])
def test_token_counts_that_are_no_numbers_are_not_counted(fault: str) -> None:
    with StubLlm(faults=[fault]) as stub:
        (reply,) = ask(stub.endpoint, question())
    assert (reply.usage.requests, reply.usage.prompt_tokens, reply.usage.completion_tokens) == (1, 0, 0)


def test_other_token_counts_are_kept_where_one_is_malformed() -> None:
    with StubLlm(faults=["usage_details_list"]) as stub:
        (reply,) = ask(stub.endpoint, question())
    assert reply.usage.prompt_tokens == stub.totals.prompt_tokens > 0
    assert reply.usage.cached_tokens == 0


@pytest.mark.parametrize("fault", ["logprobs_text", "logprobs_empty", "logprob_null"])
def test_malformed_logprobs_give_no_probabilities(fault: str) -> None:
    with StubLlm(faults=[fault]) as stub:
        (reply,) = ask(stub.endpoint, question(DIGIT))
    assert reply.text in DIGIT.options
    assert reply.probabilities is None


def test_half_a_surrogate_pair_of_a_reply_kept_for_inspection_can_be_written() -> None:
    with StubLlm(answer=lambda body: "x = \ud800") as stub, pytest.raises(ReplyError) as failure:
        ask(stub.endpoint, question(TEXT), max_attempts=1)
    assert failure.value.replies == ["x = \\ud800"]


def test_half_a_surrogate_pair_is_not_used() -> None:
    answers = itertools.chain(["x = \ud800"], itertools.repeat("x = 3"))
    with StubLlm(answer=lambda body: next(answers)) as stub:
        (reply,) = ask(stub.endpoint, question(TEXT))
    assert reply.text == "x = 3"


def test_text_with_a_special_token_is_not_used() -> None:
    answers = itertools.chain(["x = 3 <|block_start|>"], itertools.repeat("x = 3"))
    with StubLlm(answer=lambda body: next(answers)) as stub:
        (reply,) = ask(stub.endpoint, question(TEXT))
    assert reply.text == "x = 3"
    assert reply.attempts == 2


@pytest.mark.parametrize(
    ("fault", "reads"),
    [
        ("unauthorized", "put a valid key into the environment variable MY_KEY"),
        ("forbidden", r"use a key that may \(environment variable MY_KEY\), or another llm.model"),
        ("wrong_model", "set llm.model to a name it serves"),
        ("no_balance", "the account has no credit left"),
        ("no_quota", "the account has no credit left"),
    ],
)
def test_what_will_never_work_stops_at_once_with_the_remedy(
    fault: str, reads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with StubLlm(faults=[fault]) as stub, pytest.raises(EndpointRefused, match=reads) as failure:
        ask(stub.endpoint, question(), api_key_env="MY_KEY")
    assert len(stub.requests) == 1
    assert stub.endpoint in str(failure.value)


@pytest.mark.parametrize("fault", ["bad_request", "too_large", "unprocessable"])
def test_one_request_that_is_refused_leaves_the_others_alone(fault: str) -> None:
    async def both(endpoint: str) -> list[object]:
        async with Client(LlmConfig(max_in_flight=1), [endpoint], "stub", None) as client:
            asked = (client.ask(question(seed=n)) for n in range(2))
            return await asyncio.gather(*asked, return_exceptions=True)

    with StubLlm(faults=[fault]) as stub:
        refused, answered = asyncio.run(both(stub.endpoint))
    assert isinstance(refused, RequestRefused)
    assert refused.label == LABEL
    assert "check llm.extra_body, llm.constraints and score.form" in str(refused)
    assert stub.endpoint in refused.detail
    assert not isinstance(answered, Exception)


def test_a_wrong_key_is_refused_before_any_trace_is_asked_about() -> None:
    with StubLlm(api_key=KEY) as stub, pytest.raises(EndpointRefused, match="OPENAI_API_KEY"):
        ask(stub.endpoint, question())
    assert stub.totals.requests == 0


def test_a_model_that_is_not_served_is_refused_with_those_that_are() -> None:
    with StubLlm(model="qwen3-8b") as stub, pytest.raises(EndpointRefused) as failure:
        ask(stub.endpoint, question(), model="Qwen/Qwen3-32B")
    assert str(failure.value).splitlines() == [
        f"endpoint {stub.endpoint} serves ['qwen3-8b'], not 'Qwen/Qwen3-32B'",
        "  set llm.model or start the server with that name",
    ]


def test_the_key_reaches_the_server_and_no_message_or_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with StubLlm(faults=["unauthorized"]) as stub, pytest.raises(EndpointRefused) as failure:
        ask(stub.endpoint, question(), api_key_env="MY_KEY")
    assert stub.requests[0].authorization == f"Bearer {KEY}"
    assert "Incorrect API key provided: …" in str(failure.value)
    assert KEY not in str(failure.getrepr(style="long", showlocals=True, chain=True))
    assert KEY not in caplog.text


def test_a_prompt_beyond_the_window_is_told_apart_from_a_bad_request() -> None:
    with StubLlm(max_model_len=300) as stub, pytest.raises(ContextTooLong, match=LABEL):
        ask(stub.endpoint, question(content="word " * 400))


def test_a_storm_of_faults_loses_no_request() -> None:
    rates = {
        "server_error": 0.10,
        "rate_limit": 0.05,
        "reset": 0.05,
        "hang": 0.02,
        "empty": 0.03,
    }
    requests = [question(seed=n * 100) for n in range(200)]
    with StubLlm(rates=rates, fault_seed=3) as stub:
        replies, total = ask_and_count(stub.endpoint, *requests, request_timeout_seconds=1, max_attempts=5)
    assert len(replies) == 200
    assert total.requests == stub.totals.requests == 200 + total.invalid_replies
    assert total.retries + total.invalid_replies == stub.totals.faults > 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
