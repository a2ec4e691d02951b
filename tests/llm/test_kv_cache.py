"""How much the caches hold is asked for or configured, and bounds the traces that are at work."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from pipeline.config import LlmConfig
from pipeline.llm.client import Client
from pipeline.llm.kv_cache import kv_cache_tokens
from pipeline.llm.serving import ServedModel, starting
from tests.llm.questions import ask, question
from tests.servers.background import Background
from tests.servers.stub_llm import StubLlm

# As vLLM 0.32 writes it, most labels left out.
ONE_ENGINE = """# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_gpu_blocks="20377"} 1.0
"""
TWO_ENGINES = (
    ONE_ENGINE
    + 'vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="1",num_gpu_blocks="20000"} 1.0\n'
)
IN_TOKENS = ONE_ENGINE.replace('engine="0"', 'engine="0",kv_cache_size_tokens="186400"')
NOT_YET_KNOWN = 'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="None"} 1.0\n'


@dataclass
class Metrics(Background):
    """Serves one page."""

    page: str
    port: int = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/metrics", self._tell)
        return app

    async def _tell(self, _: web.Request) -> web.Response:
        return web.Response(text=self.page)


@pytest.mark.parametrize(
    ("page", "tokens"),
    [
        (ONE_ENGINE, 326_032),
        (TWO_ENGINES, 320_000),
        (IN_TOKENS, 186_400),
        (NOT_YET_KNOWN, None),
        ("<html>a gateway's own page</html>", None),
        ("", None),
    ],
)
def test_the_smallest_engine_behind_an_endpoint_counts(page: str, tokens: int | None) -> None:
    with Metrics(page) as server:
        assert kv_cache_tokens(f"http://127.0.0.1:{server.port}/v1") == tokens
        assert kv_cache_tokens(f"http://127.0.0.1:{server.port}/v1/") == tokens


def test_an_endpoint_that_does_not_answer_tells_nothing() -> None:
    assert kv_cache_tokens("http://127.0.0.1:9/v1") is None


def served(tmp_path: Path, *stubs: StubLlm, **config: object) -> tuple[ServedModel, list[str]]:
    told: list[str] = []
    llm = LlmConfig.model_validate(
        {"model": "stub", "endpoints": [stub.endpoint for stub in stubs], **config}
    )
    with starting(llm, tmp_path / "engine.log", told.append) as coming:
        return coming.ready(), told


def at_once(served: ServedModel, tokens: int) -> int:
    """How many traces of so many tokens are admitted at once, of 99."""

    async def main() -> int:
        entered = 0

        async def enter() -> None:
            nonlocal entered
            async with served.admission.admitted(tokens):
                entered += 1
                await asyncio.Event().wait()

        tasks = [asyncio.create_task(enter()) for _ in range(99)]
        for _ in range(10):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return entered

    return asyncio.run(main())


def test_traces_take_half_of_what_the_endpoints_say_that_they_hold(tmp_path: Path) -> None:
    with StubLlm(cache_tokens=100_000) as one, StubLlm(cache_tokens=60_000) as other:
        ready, told = served(tmp_path, one, other)
    assert at_once(ready, 10_000) == 5 + 3
    assert told == [
        "the KV cache holds 160,000 tokens: traces of up to 80,000 together are worked on at once "
        "(llm.kv_cache_share)"
    ]


def test_a_configured_size_takes_the_place_of_what_an_endpoint_says(tmp_path: Path) -> None:
    with StubLlm(cache_tokens=100_000) as stub:
        ready, _ = served(tmp_path, stub, kv_cache_tokens=200_000, kv_cache_share=0.25)
    assert at_once(ready, 10_000) == 5


def test_where_nobody_knows_as_many_traces_as_requests_are_at_work(tmp_path: Path) -> None:
    with StubLlm() as stub:
        ready, told = served(tmp_path, stub, max_in_flight=7)
    assert at_once(ready, 10_000) == 7
    assert "llm.kv_cache_tokens" in told[0]


def test_an_endpoint_that_does_not_tell_is_taken_to_hold_what_the_smallest_other_does(tmp_path: Path) -> None:
    with StubLlm(cache_tokens=100_000) as one, StubLlm() as silent:
        ready, _ = served(tmp_path, one, silent)
    assert at_once(ready, 10_000) == 5 + 5


def test_requests_go_to_the_endpoint_that_has_their_trace_while_it_answers() -> None:
    with StubLlm() as one, StubLlm() as other:

        async def ask_at(home: str) -> None:
            async with Client(LlmConfig(), [one.endpoint, other.endpoint], "stub", None) as client:
                await client.ask(question(seed=0))
                # Until both have been looked at, whoever is up answers.
                while not all(endpoint.up for endpoint in client._endpoints._endpoints):
                    await asyncio.sleep(0)
                one.requests.clear()
                other.requests.clear()
                await asyncio.gather(*(client.ask(question(seed=n, home=home)) for n in range(1, 21)))

        asyncio.run(ask_at(other.endpoint))
        assert (len(one.requests), len(other.requests)) == (0, 20)
    with StubLlm() as left:
        gone = other.endpoint
        replies = ask([gone, left.endpoint], question(home=gone))
    assert len(replies) == len(left.requests) == 1
