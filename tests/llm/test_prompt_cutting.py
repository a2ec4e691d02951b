"""A server that cuts prompts without a word is found out, and no other is taken for one."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pipeline.llm.cache import ReplyCache, request_key
from pipeline.llm.model import EndpointRefused, Message
from pipeline.llm.prompt_cutting import Cut, PromptWatch
from tests.llm.questions import ask, ask_and_count, question
from tests.servers.stub_llm import StubLlm

PROSE = "The remaining apples are shared among the children of the neighbourhood. "


@dataclass
class Server:
    """Counts a token for so many characters, of at most `window` tokens; keeps what it was asked."""

    characters_per_token: float = 4
    window: float = float("inf")
    refuses: bool = False
    tokens_per_word: int = 3
    counts: Callable[[int], int] = lambda tokens: tokens
    probes: list[int] = field(default_factory=list)

    def told(self, text: str) -> int:
        return self.counts(int(min(len(text) / self.characters_per_token + 8, self.window)))

    async def count(self, text: str) -> int | None:
        # Three tokens a word, as a word of five random letters has.
        tokens = self.tokens_per_word * len(text.split()) + 8
        self.probes.append(tokens)
        return None if self.refuses and tokens > self.window else self.counts(int(min(tokens, self.window)))

    def watched(self, *texts: str) -> list[Cut | None]:
        watch = PromptWatch()

        async def all_of_them() -> list[Cut | None]:
            return [
                await watch.check(f"key {number}", [Message("user", text)], self.told(text), self.count)
                for number, text in enumerate(texts)
            ]

        return asyncio.run(all_of_them())


def test_a_prompt_that_was_cut_by_a_fifth_is_noticed_at_once() -> None:
    server = Server(window=1_024)
    short, cut = server.watched(PROSE * 30, PROSE * 80)
    assert short is None
    assert cut is not None
    assert (cut.read, cut.sent) == (1_024, 1_040)


def test_prompts_of_other_sizes_that_come_to_the_same_count_are_noticed_however_dense_they_are() -> None:
    # Formulas have so many tokens that the first cut prompt looks as whole as any.
    server = Server(characters_per_token=2, window=1_024)
    assert server.watched("x^2+1=" * 400, "x^2+1=" * 360) == [None, Cut(1_040, 1_024, "key 0")]


@pytest.mark.parametrize(
    ("text", "characters_per_token"),
    [
        (PROSE * 200, 6.5),
        ("鸡兔同笼共有三十五个头" * 300, 3.0),
        ("def f(x):\n" + "                return [x, x + 1, x + 2]\n" * 200, 9.0),
        ("x_{1}^{2}+" * 300, 1.2),
        ("=" * 20_000, 64.0),
    ],
)
def test_a_text_of_few_tokens_is_no_cut_one_in_any_script(text: str, characters_per_token: float) -> None:
    server = Server(characters_per_token=characters_per_token)
    pieces = [text[: len(text) * part // 8] for part in range(1, 9)]
    assert server.watched(*pieces, *pieces) == [None] * 16
    assert len(server.probes) <= 8


def test_a_vocabulary_that_had_all_words_of_a_probe_would_raise_no_alarm() -> None:
    server = Server(characters_per_token=7, tokens_per_word=1)
    assert server.watched(PROSE * 80, PROSE * 90, PROSE * 100) == [None] * 3


def test_whoever_counts_as_most_texts_are_is_asked_nothing_more() -> None:
    server = Server(characters_per_token=4.8)
    server.watched(*(PROSE * number for number in range(1, 60)))
    assert server.probes == []


def test_whoever_refuses_what_does_not_fit_cuts_nothing_and_is_asked_once() -> None:
    server = Server(characters_per_token=6, window=2_000, refuses=True)
    assert server.watched(PROSE * 155, PROSE * 160, PROSE * 161) == [None] * 3
    assert len(server.probes) == 1


@pytest.mark.parametrize("counts", [lambda tokens: 1, lambda tokens: tokens // 10, lambda tokens: 0])
def test_whoever_counts_wrongly_tells_nothing_by_it(counts: Callable[[int], int]) -> None:
    assert Server(counts=counts).watched(PROSE * 30, PROSE * 80, PROSE * 90) == [None] * 3


def test_whoever_leaves_out_what_its_cache_had_is_not_taken_for_one_that_cuts() -> None:
    @dataclass
    class Cached(Server):
        def told(self, text: str) -> int:
            return 40

    assert Cached().watched(PROSE * 30, PROSE * 80, PROSE * 90) == [None] * 3


@dataclass
class Cutting(StubLlm):
    """Reads the last `window` tokens of a prompt."""

    window: int = 600
    owned_by: str = "library"

    async def _respond(
        self, request: web.Request, body: dict[str, Any], fault: str | None
    ) -> web.StreamResponse:
        self.edit = lambda completion: completion["usage"].update(
            prompt_tokens=min(self.window, completion["usage"]["prompt_tokens"])
        )
        return await super()._respond(request, body, fault)


def test_the_run_ends_at_the_first_reply_to_a_cut_prompt_with_the_remedy_and_keeps_none(
    tmp_path: Path,
) -> None:
    with Cutting() as stub, ReplyCache(tmp_path / "r.jsonl") as cache:
        with pytest.raises(EndpointRefused) as failure:
            ask(stub.endpoint, question(content=PROSE * 100), cache=cache)
        assert len(cache) == 0
        assert len(stub.requests) == 3, "and two probes"
    told = str(failure.value)
    assert f"endpoint {stub.endpoint} cuts long prompts without a word: of a text of 616 tokens" in told
    assert "it has read 600" in told
    assert "OLLAMA_CONTEXT_LENGTH" in told
    assert "llm.context_window to 600" in told


def test_a_reply_that_had_been_taken_is_taken_back(tmp_path: Path) -> None:
    text = " ".join(f"Of {number} apples {number * 7} are red." for number in range(100))
    whole, cut, proof = (question(content=text[:size]) for size in (400, 2_500, 2_650))
    with Cutting() as stub:
        with ReplyCache(tmp_path / "r.jsonl") as cache:
            ask(stub.endpoint, whole, cache=cache)
            with pytest.raises(EndpointRefused):
                ask(stub.endpoint, cut, proof, cache=cache, max_in_flight=1)
        with ReplyCache(tmp_path / "r.jsonl") as cache:
            chosen = {"sampling": {}, "extra_body": {}}
            assert len(cache) == 1
            assert cache.attempts(request_key(proof, "stub", chosen)) == 0
    with StubLlm(owned_by="library") as mended, ReplyCache(tmp_path / "r.jsonl") as cache:
        ask(mended.endpoint, whole, cut, proof, cache=cache)
        assert mended.totals.requests == 2, "what was made of a whole prompt is read from disk"


@pytest.mark.parametrize("faults", [[None, "server_error", "reset"], [None, "rate_limit_seconds"]])
def test_a_probe_that_fails_is_asked_again(faults: list[str | None]) -> None:
    with Cutting(faults=faults, retry_after=0.1) as stub, pytest.raises(EndpointRefused, match="cuts long"):
        ask(stub.endpoint, question(content=PROSE * 100))


def test_what_a_probe_took_is_counted() -> None:
    few = StubLlm(
        owned_by="library",
        edit=lambda done: done["usage"].update(prompt_tokens=done["usage"]["prompt_tokens"] // 2),
    )
    with few as stub:
        _, total = ask_and_count(stub.endpoint, question(content=PROSE * 50))
    assert total.requests == stub.totals.requests > 1


def test_vllm_which_refuses_what_does_not_fit_is_never_probed() -> None:
    with Cutting(owned_by="vllm") as stub:
        ask(stub.endpoint, *(question(content=PROSE * random.randrange(100, 200)) for _ in range(3)))
    assert len(stub.requests) <= 3
