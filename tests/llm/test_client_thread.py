"""Replies that are on disk before anybody has looked at them."""

import asyncio
import time
from pathlib import Path

import pytest

from pipeline.config import LlmConfig
from pipeline.llm.cache import ReplyCache
from pipeline.llm.client import Client
from pipeline.llm.client_thread import ClientThread
from pipeline.llm.model import ReplyError
from tests.llm.questions import question
from tests.servers.stub_llm import StubLlm

SECONDS = 20


def apart(stub: StubLlm, cache: ReplyCache, **config: object) -> ClientThread:
    return ClientThread(Client(LlmConfig.model_validate(config), [stub.endpoint], "stub", cache))


def test_a_reply_is_on_disk_while_the_asker_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"

    async def ask(stub: StubLlm, cache: ReplyCache) -> None:
        async with apart(stub, cache) as model:
            asked = asyncio.create_task(model.ask(question()))
            await asyncio.sleep(0)
            deadline = time.monotonic() + SECONDS
            # Never lets go of the loop, as a long prompt that is being made does.
            while not path.read_bytes():
                assert time.monotonic() < deadline, "the answer waits for the asker"
            assert not asked.done()
            assert (await asked).text

    with StubLlm() as stub, ReplyCache(path) as cache:
        asyncio.run(ask(stub, cache))


def test_what_the_client_raises_is_raised_to_the_asker(tmp_path: Path) -> None:
    async def ask(stub: StubLlm, cache: ReplyCache) -> None:
        async with apart(stub, cache, max_attempts=2) as model:
            await model.ask(question())

    told = pytest.raises(ReplyError, match="in each of 2 replies")
    with StubLlm(faults=["empty"] * 2) as stub, ReplyCache(tmp_path / "r.jsonl") as cache, told:
        asyncio.run(ask(stub, cache))


def test_an_asker_that_is_cancelled_leaves_no_thread(tmp_path: Path) -> None:
    async def ask(stub: StubLlm, cache: ReplyCache) -> ClientThread:
        async with apart(stub, cache) as model:
            asked = asyncio.create_task(model.ask(question()))
            while not stub.requests:
                await asyncio.sleep(0.01)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        return model

    with StubLlm(faults=["hang"]) as stub, ReplyCache(tmp_path / "r.jsonl") as cache:
        assert not asyncio.run(ask(stub, cache)).is_at_work
