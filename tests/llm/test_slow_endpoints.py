"""A slow endpoint is no failing one: it is waited for while it works, and gets fewer requests at once."""

import asyncio

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import LlmConfig
from pipeline.llm.client import Client
from pipeline.llm.endpoints import CongestionWindow, Deadline, Endpoints
from pipeline.llm.model import EndpointUnavailable
from tests.llm.questions import LABEL, ask, ask_and_count, question
from tests.servers.stub_llm import StubLlm


def test_a_request_is_waited_for_as_long_as_the_engine_works() -> None:
    with StubLlm(latency_seconds=2, works=True) as stub:
        (reply,) = ask(stub.endpoint, question(), request_timeout_seconds=0.4, deadline_seconds=1)
    assert reply.usage.retries == 0
    assert stub.totals.requests == len(stub.requests) == 1


def test_an_endpoint_that_tells_nothing_of_its_work_is_asked_once_whether_it_does() -> None:
    class Silent(StubLlm):
        looks = 0

        async def _metrics(self, _: web.Request) -> web.Response:
            self.looks += 1
            raise web.HTTPNotFound

    with Silent(latency_seconds=30) as stub, pytest.raises(EndpointUnavailable, match="no reply in time"):
        ask(stub.endpoint, question(), request_timeout_seconds=0.4, deadline_seconds=1)
    assert stub.looks == 1


def test_requests_that_are_too_many_for_an_endpoint_are_all_answered_in_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    requests = [question(seed=n) for n in range(24)]
    with StubLlm(per_second=8) as stub:
        # All at once take 3 s each, six of them 0.75.
        replies, total = ask_and_count(
            stub.endpoint, *requests, request_timeout_seconds=1, deadline_seconds=0.5, max_in_flight=24
        )
    assert len(replies) == 24
    assert total.retries >= 24
    assert "no reply in time with 24 requests open; 12 are kept open now" in caplog.text


def test_what_others_held_a_request_up_by_is_no_part_of_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.llm.client.backoff", lambda times: 0.0)
    with StubLlm(faults=["hang", "hang", "server_error", "server_error"]) as stub:
        replies = ask(
            stub.endpoint, question(), question(seed=1), request_timeout_seconds=2.5, deadline_seconds=2
        )
    assert len(replies) == 2


def test_a_request_leaves_its_home_where_that_lets_it_wait_too_long() -> None:
    with StubLlm(rates={"hang": 1.0}) as hung, StubLlm() as well:
        asked = [question(seed=n, home=hung.endpoint) for n in range(3)]
        replies = ask([hung.endpoint, well.endpoint], *asked, request_timeout_seconds=1, deadline_seconds=5)
    assert len(replies) == well.totals.requests == 3


def test_an_endpoint_that_has_let_one_request_wait_is_asked_the_next() -> None:
    async def run(home: str, other: str) -> None:
        config = LlmConfig(request_timeout_seconds=1)
        async with Client(config, [home, other], "stub", None) as client:
            for seed in range(4):
                await client.ask(question(seed=seed, home=home))

    with StubLlm(faults=["hang"]) as once, StubLlm() as other:
        asyncio.run(run(once.endpoint, other.endpoint))
    assert (once.totals.requests, other.totals.requests) == (3, 1)


def test_waiting_for_a_turn_is_no_part_of_a_deadline() -> None:
    async def moved(endpoint: str) -> float:
        loop = asyncio.get_running_loop()
        endpoints = Endpoints([endpoint], "stub", "none", "KEY", most=1)
        first = await endpoints.take(LABEL, Deadline(loop.time() + 60))
        deadline = Deadline(before := loop.time() + 60)
        second = asyncio.create_task(endpoints.take(LABEL, deadline))
        await asyncio.sleep(0.5)
        endpoints.give_back(first)
        await second
        await endpoints.close()
        return deadline.at - before

    with StubLlm() as stub:
        assert asyncio.run(moved(stub.endpoint)) >= 0.4


@pytest.mark.parametrize("most", [1, 2, 7, 64])
@given(rounds=st.lists(st.booleans(), max_size=200))
def test_a_congestion_window_stays_between_one_and_the_most(most: int, rounds: list[bool]) -> None:
    window, now = CongestionWindow(most, most, most), 0.0
    for answered in rounds:
        now += 1
        before = window.size
        if answered:
            window.grow()
            assert before <= window.size <= before + 1
        else:
            assert window.shrink(int(before), now, now)
            assert window.size == max(1, int(before) // 2)
        assert 1 <= window.size <= most


def test_requests_of_one_round_that_time_out_shrink_a_window_once() -> None:
    window = CongestionWindow(64, 64, 64)
    assert window.shrink(64, sent_at=0, now=10)
    assert [window.shrink(left, sent_at=0, now=10) for left in range(63, 0, -1)] == [False] * 63
    assert window.size == 32


def test_a_congestion_window_opens_again_slower_beyond_half_of_what_was_too_much() -> None:
    window = CongestionWindow(64, 64, 64)
    for now in (10, 20, 30):
        window.shrink(64, sent_at=now - 1, now=now)
    assert window.size == 8
    sizes = []
    for _ in range(3 * 64 * 64):
        window.grow()
        sizes.append(window.size)
    assert 16 < sizes.index(64) + 1 < 64 * 64
    assert sizes[8] < 10, "one more a round, from where it was too much"


def test_an_endpoint_that_answers_is_not_said_to_be_silent() -> None:
    async def told(endpoint: str) -> str:
        loop = asyncio.get_running_loop()
        endpoints = Endpoints([endpoint], "stub", "none", "KEY", most=1)
        taken = await endpoints.take(LABEL, Deadline(loop.time() + 60))
        endpoints.done(taken, None, loop.time())
        await endpoints.close()
        return str(endpoints.unavailable(LABEL))

    with StubLlm() as stub:
        assert f"{stub.endpoint}: answers others" in asyncio.run(told(stub.endpoint))


def test_a_request_that_was_alone_has_its_deadline() -> None:
    with StubLlm(rates={"hang": 1.0}) as stub, pytest.raises(EndpointUnavailable):
        ask(stub.endpoint, question(), request_timeout_seconds=0.5, deadline_seconds=1)
    # Where others shared the blame it would be excused seven times.
    assert 2 <= len(stub.requests) <= 4
