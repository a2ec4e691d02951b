"""The stub keeps what it claims: constraints, prefix cache, metrics, faults over HTTP."""

import asyncio
import json
import random
import re
import urllib.request

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.llm.kv_cache import kv_cache_tokens
from tests.llm.questions import DIGIT, Grades, ask, ask_and_count, question
from tests.servers import stub_replies
from tests.servers.stub_llm import StubLlm
from tests.servers.stub_prefix_cache import BLOCK_TOKENS, CHARACTERS_PER_TOKEN, PrefixCache

BLOCK = BLOCK_TOKENS * CHARACTERS_PER_TOKEN


@settings(deadline=None)
@given(seed=st.integers())
def test_json_replies_satisfy_their_schema(seed: int) -> None:
    schema = Grades.model_json_schema()
    jsonschema.validate(stub_replies.instance(schema, random.Random(seed)), schema)


@settings(deadline=None)
@given(seed=st.integers())
@pytest.mark.parametrize("pattern", [r"[0-3]", r"([0-3] ){3}[0-3]", r"(yes|no): \d+(\.\d)?", r"[a-f]{2,4}"])
def test_regex_replies_match_their_pattern(pattern: str, seed: int) -> None:
    text = stub_replies.from_regex(pattern, random.Random(seed))
    assert re.fullmatch(pattern, text)


def test_a_summary_is_made_of_the_last_tagged_text_and_is_shorter() -> None:
    block = "First compute gamma which equals 1729 and then verify primes between seventy bounds."
    said = f"<context>Nothing about it 55</context>\n<block>{block}</block>\nCompress it to 300 words."
    body = {"messages": [{"role": "user", "content": said}]}
    text = stub_replies.summary(body, random.Random(1))
    assert set(re.findall(r"\w+", text.lower())) <= set(re.findall(r"\w+", block.lower()))
    assert 0 < len(text) < len(block)


async def run_through(cache: PrefixCache, content: str, generated: int = 0) -> tuple[int, int]:
    """Tokens of a prompt, and those that were in the cache."""
    prompt = cache.prompt([{"role": "user", "content": content}])
    async with cache.running(prompt, generated) as cached:
        return prompt.tokens, cached


@settings(deadline=None)
@given(
    shared=st.integers(0, 6 * BLOCK), first=st.text("ab", max_size=200), second=st.text("cd", max_size=200)
)
def test_only_whole_blocks_of_a_common_beginning_are_cached(shared: int, first: str, second: str) -> None:
    cache = PrefixCache("characters")
    asyncio.run(run_through(cache, "x" * shared + first))
    tokens, cached = asyncio.run(run_through(cache, "x" * shared + second))
    common = len("<|im_start|>user\n") + shared + (len("<") if first == second == "" else 0)
    assert cached % BLOCK_TOKENS == 0
    assert cached < tokens
    if first and second:
        assert cached == common // BLOCK * BLOCK_TOKENS


def test_a_full_cache_forgets_what_was_not_used_for_the_longest_time() -> None:
    cache = PrefixCache("characters", capacity=20 * BLOCK_TOKENS)

    async def found(*contents: str) -> list[int]:
        return [(await run_through(cache, content))[1] // BLOCK_TOKENS for content in contents]

    one, two, three = (letter * 8 * BLOCK for letter in "abc")
    assert asyncio.run(found(one, two, one, two)) == [0, 0, 8, 8]
    # Room for two of them: the third takes that of the first, end first, and its beginning lives longest.
    assert asyncio.run(found(three, two, one)) == [0, 8, 1]


def test_a_request_that_does_not_fit_waits_for_others_to_end() -> None:
    cache = PrefixCache("characters", capacity=20 * BLOCK_TOKENS)
    order: list[str] = []

    async def one(letter: str, leave: asyncio.Event) -> None:
        async with cache.running(cache.prompt([{"role": "user", "content": letter * 8 * BLOCK}]), 32):
            order.append(letter)
            await leave.wait()

    async def three() -> None:
        leave = [asyncio.Event() for _ in "abc"]
        tasks = [asyncio.create_task(one(*pair)) for pair in zip("abc", leave, strict=True)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert order == ["a"]
        for event in leave:
            event.set()
        await asyncio.gather(*tasks)

    asyncio.run(three())
    assert order == ["a", "b", "c"]


def test_a_limited_cache_tells_its_size() -> None:
    with StubLlm(cache_tokens=100_000) as limited, StubLlm() as unlimited:
        assert kv_cache_tokens(limited.endpoint) == 100_000
        assert kv_cache_tokens(unlimited.endpoint) is None


def test_metrics_tell_what_was_computed_and_what_was_cached() -> None:
    with StubLlm() as stub:
        _, total = ask_and_count(stub.endpoint, question(), max_in_flight=1)
        ask(stub.endpoint, question(DIGIT))
        page = urllib.request.urlopen(stub.endpoint.removesuffix("/v1") + "/metrics").read().decode()
    told = dict(re.findall(r"^vllm:(\w+)\{.*\} (\d+)$", page, re.MULTILINE))
    assert int(told["prompt_tokens_total"]) == 2 * total.prompt_tokens
    assert int(told["prefix_cache_hits_total"]) == stub.totals.cached_tokens > 0
    assert told["num_requests_running"] == "0"


def test_faults_can_be_ordered_over_http() -> None:
    with StubLlm() as stub:
        order = json.dumps({"faults": ["server_error"]}).encode()
        urllib.request.urlopen(stub.endpoint.removesuffix("/v1") + "/faults", order)
        (reply,) = ask(stub.endpoint, question())
    assert reply.usage.retries == 1
