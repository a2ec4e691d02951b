"""A stub LLM server over real HTTP that speaks vLLM's dialect and fails on order.

In a test: `with StubLlm(faults=["rate_limit", None]) as stub: ask(stub.endpoint)`.
By hand or for a benchmark: `python -m tests.servers.stub_llm --port 8000`, faults by POST /faults.
Replies are deterministic (stub_replies.py) unless `answer` gives a text for a request.
"""

import argparse
import asyncio
import contextlib
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, get_args

from aiohttp import web

from tests.servers import stub_replies
from tests.servers.background import Background
from tests.servers.stub_prefix_cache import BLOCK_TOKENS, CHARACTERS_PER_TOKEN, Counter, PrefixCache, chat_ml

JsonObject = dict[str, Any]
REFUSAL = "I'm sorry, but I can't assist with that."
REPEATED = "We compute the sum and get 12. " * 40
# Faults that take the place of the reply's text; each still is a proper HTTP reply.
BAD_TEXTS = {
    "empty": "",
    "refusal": REFUSAL,
    "repeated": REPEATED,
    "wrong_choice": "banana",
    "bad_json": '{"half": ',
}
HTTP_FAULTS = {
    "unauthorized": (401, "Incorrect API key provided: {key}"),
    "forbidden": (403, "This key may not use the model (key {key})"),
    "wrong_model": (404, "The model `{model}` does not exist."),
    "bad_request": (400, "Unknown parameter: 'messages[0].colour'"),
    "too_large": (413, "Request entity too large"),
    "unprocessable": (422, "Value error"),
    "no_balance": (402, "Insufficient Balance"),
    "no_quota": (429, "insufficient_quota: You exceeded your current quota"),
    "rate_limit": (429, "Too many requests"),
    "rate_limit_seconds": (429, "Too many requests"),
    "rate_limit_date": (429, "Too many requests"),
    "server_error": (500, "Internal server error"),
    "unavailable": (503, "Loading"),
}
# Faults that are JSON and no proper completion: where something else stands, and what.
MALFORMED: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "no_choices": (("choices",), []),
    "message_text": (("choices", 0, "message"), "x = 3"),
    "content_list": (
        ("choices", 0, "message", "content"),
        [{"type": "image_url", "image_url": {"url": "x"}}],
    ),
    "content_number": (("choices", 0, "message", "content"), 3),
    "logprobs_text": (("choices", 0, "logprobs"), "none"),
    "logprobs_empty": (("choices", 0, "logprobs"), {"content": []}),
    "logprob_null": (("choices", 0, "logprobs", "content", 0, "top_logprobs", 0, "logprob"), None),
    "usage_text": (("usage",), "12 tokens"),
    "usage_fractions": (("usage",), {"prompt_tokens": "12", "completion_tokens": 1.5}),
    "usage_details_list": (("usage", "prompt_tokens_details"), [3]),
}
# Others: "hang" (until the client leaves), "reset" (in mid-body), "invalid_json" (HTTP body), "length".


@dataclass(frozen=True)
class Seen:
    """A chat request as it came in: when (monotonic seconds), with what header, what body."""

    at: float
    authorization: str
    body: JsonObject


@dataclass
class Totals:
    """Counts over all answered chat requests; faults are counted apart."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    faults: int = 0
    running: int = 0
    most_running: int = 0


@dataclass
class StubLlm(Background):
    """A server on a thread of its own while the `with` lasts. port 0 takes a free one.

    faults: consumed by successive chat requests, None answers; rates: probability by fault, after the
    schedule is used up. answer: text for a request, None for the stub's own; edit: changes a completion
    before it is sent. latency_seconds: per reply; per_second: replies that all who ask at once share;
    works: /metrics shows that it is at work on those it has. cache_tokens: what its prefix cache holds,
    None for no limit. cuts: ends replies as vLLM does, at max_tokens, or where that is not said at
    new_tokens (the model's generation config) or the window's end; the shortest of them. record: keep
    every request in `requests` (turn it off for long runs).
    """

    model: str = "stub"
    faults: Sequence[str | None] = ()
    rates: dict[str, float] = field(default_factory=dict)
    fault_seed: int = 0
    answer: Callable[[JsonObject], str | None] = lambda body: None
    edit: Callable[[JsonObject], object] = lambda completion: None
    owned_by: str = "vllm"
    max_model_len: int = 131_072
    retry_after: float = 1
    latency_seconds: float = 0
    per_second: float | None = None
    works: bool = False
    api_key: str | None = None
    logprobs: bool = True
    counter: Counter = "characters"
    cache_tokens: int | None = None
    cuts: bool = False
    new_tokens: int | None = None
    record: bool = True
    port: int = 0

    def __post_init__(self) -> None:
        self.requests: list[Seen] = []
        self.totals = Totals()
        self.models_asked = 0
        self._looks = 0
        self._schedule = list(self.faults)
        self._chance = random.Random(self.fault_seed)
        self._cache = PrefixCache(self.counter, self.cache_tokens)

    @property
    def endpoint(self) -> str:
        """Base URL for an OpenAI client."""
        return f"http://127.0.0.1:{self.port}/v1"

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/faults", self._set_faults)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _metrics(self, _: web.Request) -> web.Response:
        self._looks += bool(self.totals.running)
        label = f'{{model_name="{self.model}"}}'
        values = {
            "num_requests_running": self.totals.running,
            "num_requests_waiting": 0,
            "prompt_tokens_total": self.totals.prompt_tokens,
            "generation_tokens_total": self.totals.completion_tokens + self._looks * self.works,
            "prefix_cache_queries_total": self.totals.prompt_tokens,
            "prefix_cache_hits_total": self.totals.cached_tokens,
        }
        lines = [f"vllm:{n}{label} {v}\n" for n, v in values.items()]
        if self._cache.blocks is not None:
            sizes = f'block_size="{BLOCK_TOKENS}",engine="0",num_gpu_blocks="{self._cache.blocks}"'
            lines.append(f"vllm:cache_config_info{{{sizes}}} 1.0\n")
        return web.Response(text="".join(lines))

    async def _set_faults(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        self._schedule = list(wanted.get("faults", []))
        self.rates = dict(wanted.get("rates", {}))
        return web.Response()

    async def _models(self, request: web.Request) -> web.Response:
        self.models_asked += 1
        if refused := self._wrong_key(request):
            return refused
        model = {"id": self.model, "object": "model", "owned_by": self.owned_by}
        if self.owned_by == "vllm":
            model |= {"max_model_len": self.max_model_len, "root": self.model}
        return web.json_response({"object": "list", "data": [model]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if self.record:
            key = request.headers.get("Authorization", "")
            self.requests.append(Seen(time.monotonic(), key, body))
        async with self._counted_as_running():
            fault = self._next_fault()
            if fault is not None:
                self.totals.faults += 1
                await asyncio.sleep(self.latency_seconds)
            await self._take_turns(request)
            return self._wrong_key(request) or await self._respond(request, body, fault)

    async def _respond(self, request: web.Request, body: JsonObject, fault: str | None) -> web.StreamResponse:
        if fault in HTTP_FAULTS:
            return self._http_fault(fault, request, body)
        if fault == "hang":
            await self.stop.wait()
        if fault == "reset":
            return await _reset(request)
        if fault == "invalid_json":
            return web.Response(text="<html>gateway</html>", content_type="application/json")
        if body["model"] != self.model:
            return _error(404, f"The model `{body['model']}` does not exist.")
        return await self._completion(body, fault)

    async def _completion(self, body: JsonObject, fault: str | None) -> web.Response:
        prompt = self._cache.prompt(body["messages"])
        wanted = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        if prompt.tokens + wanted > self.max_model_len:
            return _error(
                400,
                f"This model's maximum context length is {self.max_model_len} tokens. However, your"
                f" prompt contains {prompt.tokens} input tokens and {wanted} were requested.",
            )
        text, logprobs = self._reply(body)
        text = BAD_TEXTS.get(fault or "", text)
        if fault == "length":
            text = text[: len(text) // 2]
        limit = min(wanted or self.new_tokens or 1_000_000, self.max_model_len - prompt.tokens)
        is_cut = fault == "length" or (self.cuts and self._cache.count(text) > limit)
        if self.cuts:
            text = text[: limit * CHARACTERS_PER_TOKEN]
        completion_tokens = min(self._cache.count(text) + 1, limit)
        async with self._cache.running(prompt, completion_tokens) as cached_tokens:
            await asyncio.sleep(self.latency_seconds)
        self.totals.requests += 1
        self.totals.prompt_tokens += prompt.tokens
        self.totals.cached_tokens += cached_tokens
        self.totals.completion_tokens += completion_tokens
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "length" if is_cut else "stop",
            "logprobs": logprobs if body.get("logprobs") and self.logprobs else None,
        }
        usage = {
            "prompt_tokens": prompt.tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt.tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": cached_tokens},
        }
        reply = {"id": "chatcmpl-stub", "object": "chat.completion", "created": 0, "model": self.model}
        reply |= {"choices": [choice], "usage": usage}
        if wanted_logprobs := body.get("prompt_logprobs"):
            reply |= stub_replies.prompt_logprobs(chat_ml(body["messages"]), wanted_logprobs)
        if fault in MALFORMED:
            _put(reply, *MALFORMED[fault])
        self.edit(reply)
        return web.json_response(reply)

    def _reply(self, body: JsonObject) -> tuple[str, JsonObject | None]:
        chance = stub_replies.dice(body)
        if (text := self.answer(body)) is not None:
            return text, None
        if options := stub_replies.choices_of(body):
            return stub_replies.choice(options, chance)
        if schema := stub_replies.schema_of(body):
            return stub_replies.json.dumps(stub_replies.instance(schema, chance)), None
        if pattern := (body.get("structured_outputs") or {}).get("regex"):
            return stub_replies.spelled(pattern, chance)
        return stub_replies.summary(body, chance), None

    def _http_fault(self, fault: str, request: web.Request, body: JsonObject) -> web.Response:
        status, message = HTTP_FAULTS[fault]
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        headers = {}
        if fault == "rate_limit_seconds":
            headers["Retry-After"] = f"{self.retry_after:g}"
        if fault == "rate_limit_date":
            headers["Retry-After"] = formatdate(time.time() + self.retry_after, usegmt=True)
        return _error(status, message.format(key=key, model=body["model"]), headers)

    async def _take_turns(self, request: web.Request) -> None:
        """Waits for a reply's share of `per_second`; who has left has no share."""
        done, before = 0.0, time.monotonic()
        while self.per_second is not None and done < 1:
            await asyncio.sleep(0.01)
            if request.transport is None or request.transport.is_closing():
                raise web.HTTPRequestTimeout
            now = time.monotonic()
            done += (now - before) * self.per_second / self.totals.running
            before = now

    def _next_fault(self) -> str | None:
        if self._schedule:
            return self._schedule.pop(0)
        draw = self._chance.random()
        for fault, rate in self.rates.items():
            if (draw := draw - rate) < 0:
                return fault
        return None

    def _wrong_key(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.api_key in (None, given):
            return None
        return _error(401, f"Incorrect API key provided: {given}")

    @contextlib.asynccontextmanager
    async def _counted_as_running(self) -> AsyncIterator[None]:
        self.totals.running += 1
        self.totals.most_running = max(self.totals.most_running, self.totals.running)
        try:
            yield
        finally:
            self.totals.running -= 1


def _put(reply: Any, path: tuple[str | int, ...], value: Any) -> None:
    *way, last = path
    for step in way:
        reply = reply[step]
    reply[last] = value


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    error = {"message": message, "type": "StubError", "code": status}
    return web.json_response({"error": error}, status=status, headers=headers)


async def _reset(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    response.content_type = "application/json"
    await response.prepare(request)
    await response.write(b'{"id": "chatcmpl-stub", "choi')
    if request.transport is not None:
        request.transport.abort()
    return response


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", default="stub")
    parser.add_argument("--latency-seconds", type=float, default=0)
    parser.add_argument("--per-second", type=float)
    parser.add_argument("--counter", choices=get_args(Counter), default="characters")
    parser.add_argument("--cache-tokens", type=int)
    options = parser.parse_args()
    stub = StubLlm(
        model=options.model,
        latency_seconds=options.latency_seconds,
        per_second=options.per_second,
        port=options.port,
        counter=options.counter,
        cache_tokens=options.cache_tokens,
        record=False,
    )
    with stub:
        print(stub.endpoint, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
