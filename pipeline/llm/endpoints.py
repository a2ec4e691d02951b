"""Load balancing over endpoints: the least busy is next; one that fails is taken out and probed."""

import asyncio
import math
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline.llm.errors import SYSTEM, Attempt, Transient, Unsupported, classified
from pipeline.llm.http_json import CALL_ERRORS, NO_LIST, Api, PageError, StatusError
from pipeline.llm.model import ContextTooLong, EndpointRefused, EndpointUnavailable, RequestRefused
from pipeline.llm.urls import shown_url, url_fault

JsonObject = dict[str, Any]
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15.0
PROBE_TIMEOUT_SECONDS = 10.0
# One reset or one 500 says little about an endpoint; so many in a row do.
FAILURES_IN_A_ROW = 3


def backoff(times: int) -> float:
    """Seconds to wait after `times` failures: exponential with full jitter, so that callers spread."""
    return random.uniform(0, min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**times))


@dataclass(eq=False)
class Endpoint:
    """One endpoint and what is known of it.

    base: as configured; url: as messages show it; not_before: event loop time.
    """

    base: str
    url: str
    api: Api
    open: int = 0
    up: bool = False
    not_before: float = 0.0
    failures: int = 0
    trouble: str = "no answer yet"
    is_vllm: bool = False
    max_model_len: int | None = None
    without: set[str] = field(default_factory=set)
    has_answered: bool = False

    async def complete(self, body: JsonObject, timeout_seconds: float) -> JsonObject:
        """The chat completion for a body, less what this endpoint does not know. Raises CALL_ERRORS."""
        sent = {name: value for name, value in body.items() if name not in self.without}
        if "logprobs" not in sent:
            sent.pop("top_logprobs", None)
        if "max_tokens" in self.without and "max_tokens" in body:
            sent["max_completion_tokens"] = body["max_tokens"]
        if SYSTEM in self.without:
            sent["messages"] = without_system(body["messages"])
        async with asyncio.timeout(timeout_seconds):
            answer = await self.api.post("/chat/completions", sent)
        if not isinstance(answer, dict):
            raise ValueError("the answer is no JSON object")
        self.has_answered = True
        return answer


def without_system(messages: Sequence[JsonObject]) -> list[JsonObject]:
    """The messages with the system prompt before the user's text, for models that know no such role."""
    system = "\n\n".join(each["content"] for each in messages if each["role"] == "system")
    first, *others = [each for each in messages if each["role"] != "system"]
    return [{**first, "content": f"{system}\n\n{first['content']}"}, *others] if system else [first, *others]


class Endpoints:
    """All endpoints of a run, for one event loop. Nothing is asked before the first `take`.

    Raises EndpointRefused where a URL is none.
    """

    def __init__(self, urls: Sequence[str], model: str, key: str, key_env: str) -> None:
        self._model = model
        self._key = key
        self._key_env = key_env
        for url in urls:
            if fault := url_fault(url):
                raise _no_url(url, fault)
        self._endpoints = [Endpoint(url, shown_url(url), Api(url, key)) for url in urls]
        self._probes: dict[Endpoint, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._refused: EndpointRefused | None = None

    @property
    def running(self) -> int:
        """Requests that are with an endpoint now."""
        return sum(endpoint.open for endpoint in self._endpoints)

    async def look(self) -> None:
        """Asks each endpoint once whether it is there, so that the first requests go to all that are."""

        async def look_at(endpoint: Endpoint) -> None:
            if await self._look_at(endpoint) is None:
                endpoint.up = True

        await asyncio.gather(*map(look_at, self._endpoints))

    async def take(self, label: str, deadline: float, home: str | None = None) -> Endpoint:
        """The endpoint `home` if it may be asked, else the least busy one; give it back with `done`.

        Waits while there is none. deadline: event loop time. Raises EndpointUnavailable when it has passed
        or nobody may be asked before it, EndpointRefused at once.
        """
        loop = asyncio.get_running_loop()
        while True:
            if self._refused is not None:
                raise EndpointRefused(self._refused.detail, self._refused.remedy)
            up = [endpoint for endpoint in self._endpoints if endpoint.up]
            ready = [endpoint for endpoint in up if endpoint.not_before <= loop.time()]
            if ready:
                chosen = min(ready, key=lambda endpoint: (endpoint.base != home, endpoint.open))
                chosen.open += 1
                return chosen
            next_ready = min((endpoint.not_before for endpoint in up), default=math.inf)
            all_too_late = len(up) == len(self._endpoints) and next_ready > deadline
            if all_too_late or loop.time() >= deadline:
                troubles = "; ".join(f"{endpoint.url}: {endpoint.trouble}" for endpoint in self._endpoints)
                raise EndpointUnavailable(label, troubles)
            self._probe_those_aside()
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(deadline, next_ready)):
                    await self._changed.wait()

    def done(self, endpoint: Endpoint, failure: Transient | None) -> None:
        """Gives an endpoint back; failure says why it did not answer, None that it did."""
        endpoint.open -= 1
        if failure is None:
            endpoint.failures = 0
            return
        endpoint.trouble = failure.detail
        if failure.wait_seconds is not None:
            now = asyncio.get_running_loop().time()
            endpoint.not_before = max(endpoint.not_before, now + failure.wait_seconds)
        if failure.rate_limited:
            return
        endpoint.failures += 1
        if failure.refused_connection or endpoint.failures >= FAILURES_IN_A_ROW:
            endpoint.up = False
            self._probe_those_aside()

    def attempt(self, label: str, endpoint: Endpoint, without: frozenset[str] = frozenset()) -> Attempt:
        """A request to an endpoint, as error messages name it."""
        return Attempt(
            label, endpoint.url, self._model, self._key_env, self._key, without, endpoint.has_answered
        )

    async def close(self) -> None:
        """Ends probes and connections."""
        for probe in self._probes.values():
            probe.cancel()
        await asyncio.gather(*self._probes.values(), return_exceptions=True)
        for endpoint in self._endpoints:
            await endpoint.api.close()

    def _probe_those_aside(self) -> None:
        for endpoint in self._endpoints:
            probe = self._probes.get(endpoint)
            if not endpoint.up and (probe is None or probe.done()):
                self._probes[endpoint] = asyncio.create_task(self._probe(endpoint))

    async def _probe(self, endpoint: Endpoint) -> None:
        """Returns when the endpoint is up again, or refuses for good."""
        failures = 0
        while not endpoint.up and self._refused is None:
            problem = await self._look_at(endpoint)
            if isinstance(problem, EndpointRefused):
                self._refused = problem
            elif isinstance(problem, Transient):
                endpoint.trouble = problem.detail
                await asyncio.sleep(problem.wait_seconds or backoff(failures))
                failures += 1
            else:
                endpoint.failures = 0
                endpoint.up = True
        self._changed.set()

    async def _look_at(self, endpoint: Endpoint) -> Transient | EndpointRefused | None:
        """Asks which models are served; None where all is well."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                listing = await endpoint.api.get("/models")
        except CALL_ERRORS as error:
            if isinstance(error, PageError) or (isinstance(error, StatusError) and error.status in NO_LIST):
                return None  # a provider without a list of models; the first request will show
            found = classified(error, self.attempt("the list of models", endpoint))
            return None if isinstance(found, Unsupported | ContextTooLong | RequestRefused) else found
        models = listing.get("data") if isinstance(listing, dict) else None
        listed = models if isinstance(models, list) else []
        return self._note(endpoint, [model for model in listed if isinstance(model, dict)])

    def _note(self, endpoint: Endpoint, models: list[JsonObject]) -> EndpointRefused | None:
        endpoint.is_vllm = any(model.get("owned_by") == "vllm" for model in models)
        names = [str(model.get("id")) for model in models]
        ours = next((model for model in models if model.get("id") == self._model), None)
        if ours is not None:
            window = ours.get("max_model_len")
            endpoint.max_model_len = window if type(window) is int else None
        # Others serve names that they do not list; what vLLM does not list it does not serve.
        elif endpoint.is_vllm:
            return EndpointRefused(
                f"endpoint {endpoint.url} serves {names}, not {self._model!r}",
                "set llm.model or start the server with that name",
            )
        return None


def _no_url(url: str, fault: str) -> EndpointRefused:
    return EndpointRefused(
        f"endpoint {shown_url(url)!r} {fault}", "write llm.endpoints as base URLs: http://host:8000/v1"
    )
