"""Load balancing over endpoints: the least busy is next; one that fails is taken out and probed.

A slow endpoint is no failing one. How long a request may take counts from the last sign that the endpoint
works; where requests time out nevertheless, fewer are kept open.
"""

import asyncio
import logging
import math
import random
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline.llm.errors import SYSTEM, Attempt, Transient, Unsupported, classified
from pipeline.llm.http_json import CALL_ERRORS, NO_LIST, Api, PageError, StatusError
from pipeline.llm.kv_cache import tokens_counted
from pipeline.llm.model import ContextTooLong, EndpointRefused, EndpointUnavailable, RequestRefused
from pipeline.llm.urls import shown_url, url_fault

LOG = logging.getLogger(__name__)
JsonObject = dict[str, Any]
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15.0
PROBE_TIMEOUT_SECONDS = 10.0
# How often an endpoint is looked at on which a request waits.
LOOK_SECONDS = 15.0
SLOW_REMEDY = "lower llm.max_in_flight, or raise llm.request_timeout_seconds: the endpoint is there, and slow"
# One reset or one 500 says little about an endpoint; so many in a row do.
FAILURES_IN_A_ROW = 3


def backoff(times: int) -> float:
    """Seconds to wait after `times` failures: exponential with full jitter, so that callers spread."""
    return random.uniform(0, min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**times))


@dataclass
class CongestionWindow:
    """How many requests an endpoint gets at once: halved where it is too slow for them, raised by each reply.

    As TCP does (RFC 5681): up to half of what was too much by one a reply, from there by one a round.
    most: never more; shrunk_at: event loop time.
    """

    most: int
    size: float
    slow_from: float
    shrunk_at: float = -math.inf

    def grow(self) -> None:
        """After a reply."""
        self.size = min(self.most, self.size + (1 if self.size < self.slow_from else 1 / self.size))

    def shrink(self, open_requests: int, sent_at: float, now: float) -> bool:
        """After a request that was given up, sent at `sent_at`. Those of one round count once: then False."""
        if sent_at < self.shrunk_at:
            return False
        self.size = self.slow_from = max(1.0, min(self.size, open_requests) // 2)
        self.shrunk_at = now
        return True


@dataclass
class Deadline:
    """When a request is given up, in event loop time; what others held it up by is no time of its own."""

    at: float


@dataclass(eq=False)
class Endpoint:
    """One endpoint and what is known of it.

    base: as configured; url: as messages show it; not_before, worked_at, looked_at: event loop time; work:
    tokens that its metrics had counted when they were looked at, None where they count none. is_slow: it let
    the last request wait too long; fewest: requests that were ever kept open after one that did.
    """

    base: str
    url: str
    api: Api
    congestion: CongestionWindow
    open: int = 0
    up: bool = False
    not_before: float = 0.0
    failures: int = 0
    trouble: str = "no answer yet"
    is_vllm: bool = False
    max_model_len: int | None = None
    without: set[str] = field(default_factory=set)
    has_answered: bool = False
    is_slow: bool = False
    fewest: float = math.inf
    work: float | None = None
    worked_at: float = -math.inf
    looked_at: float = -math.inf

    @property
    def has_room(self) -> bool:
        return self.open < max(1, int(self.congestion.size))

    async def complete(self, body: JsonObject, timeout_seconds: float) -> JsonObject:
        """The chat completion for a body, less what this endpoint does not know. Raises CALL_ERRORS.

        timeout_seconds: without a reply and without a sign that the endpoint works.
        """
        sent = {name: value for name, value in body.items() if name not in self.without}
        if "logprobs" not in sent:
            sent.pop("top_logprobs", None)
        if "max_tokens" in self.without and "max_tokens" in body:
            sent["max_completion_tokens"] = body["max_tokens"]
        if SYSTEM in self.without:
            sent["messages"] = without_system(body["messages"])
        answer = await self._patiently(self.api.post("/chat/completions", sent), timeout_seconds)
        if not isinstance(answer, dict):
            raise ValueError("the answer is no JSON object")
        self.has_answered = True
        return answer

    async def _patiently(self, call: Coroutine[Any, Any, Any], timeout_seconds: float) -> Any:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        task = asyncio.ensure_future(call)
        try:
            while not task.done():
                left = max(begun, self.worked_at) + timeout_seconds - loop.time()
                if left <= 0:
                    raise TimeoutError
                await asyncio.wait({task}, timeout=min(left, timeout_seconds / 2, LOOK_SECONDS))
                if not task.done():
                    await self._look_for_work(timeout_seconds / 4)
            return task.result()
        finally:
            # An engine ends the request of a client that has gone.
            task.cancel()

    async def _look_for_work(self, seconds: float) -> None:
        """Notes whether the endpoint's metrics count more tokens than when somebody looked before."""
        loop = asyncio.get_running_loop()
        if loop.time() < self.looked_at + min(seconds, LOOK_SECONDS):
            return
        self.looked_at = loop.time()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                work = tokens_counted(await self.api.metrics())
        except StatusError:
            self.looked_at = math.inf  # it has no metrics
            return
        except CALL_ERRORS:
            return
        if self.work is not None and work is not None and work != self.work:
            self.worked_at = loop.time()
        self.work = work


def without_system(messages: Sequence[JsonObject]) -> list[JsonObject]:
    """The messages with the system prompt before the user's text, for models that know no such role."""
    system = "\n\n".join(each["content"] for each in messages if each["role"] == "system")
    first, *others = [each for each in messages if each["role"] != "system"]
    return [{**first, "content": f"{system}\n\n{first['content']}"}, *others] if system else [first, *others]


class Endpoints:
    """All endpoints of a run, for one event loop. Nothing is asked before the first `take`.

    Raises EndpointRefused where a URL is none.
    """

    def __init__(self, urls: Sequence[str], model: str, key: str, key_env: str, most: int) -> None:
        """most: requests that one endpoint gets at once."""
        self._model = model
        self._key = key
        self._key_env = key_env
        for url in urls:
            if fault := url_fault(url):
                raise _no_url(url, fault)
        self._endpoints = [
            Endpoint(url, shown_url(url), Api(url, key), CongestionWindow(most, most, most)) for url in urls
        ]
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

    async def take(
        self, label: str, deadline: Deadline, home: str | None = None, avoided: Endpoint | None = None
    ) -> Endpoint:
        """The endpoint `home` if it may be asked, else the least busy one; give it back with `done`.

        avoided: comes last, since it has let this request wait too long before.
        Waits while there is none; where all are at work on others, that time is no part of the deadline.
        Raises EndpointUnavailable when it has passed or nobody may be asked before it, EndpointRefused at
        once.
        """
        loop = asyncio.get_running_loop()
        while True:
            if self._refused is not None:
                raise EndpointRefused(self._refused.detail, self._refused.remedy)
            up = [endpoint for endpoint in self._endpoints if endpoint.up]
            ready = [endpoint for endpoint in up if endpoint.not_before <= loop.time()]
            if with_room := [endpoint for endpoint in ready if endpoint.has_room]:
                chosen = min(with_room, key=lambda each: (each is avoided, each.base != home, each.open))
                chosen.open += 1
                return chosen
            if ready:
                since = loop.time()
                await self._change(math.inf)
                deadline.at += loop.time() - since
                continue
            next_ready = min((endpoint.not_before for endpoint in up), default=math.inf)
            all_too_late = len(up) == len(self._endpoints) and next_ready > deadline.at
            if all_too_late or loop.time() >= deadline.at:
                raise self.unavailable(label)
            self._probe_those_aside()
            await self._change(min(deadline.at, next_ready))

    def unavailable(self, label: str) -> EndpointUnavailable:
        """The error that says what is the matter with each endpoint, and what to do."""
        troubles = "; ".join(f"{endpoint.url}: {endpoint.trouble}" for endpoint in self._endpoints)
        if any(endpoint.is_slow for endpoint in self._endpoints):
            return EndpointUnavailable(label, troubles, SLOW_REMEDY)
        return EndpointUnavailable(label, troubles)

    async def _change(self, until: float) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until if until < math.inf else None):
                await self._changed.wait()

    def give_back(self, endpoint: Endpoint) -> None:
        """An endpoint that was not asked, or has answered."""
        endpoint.open -= 1
        self._changed.set()

    def done(self, endpoint: Endpoint, failure: Transient | None, sent_at: float) -> None:
        """Gives an endpoint back; failure says why it did not answer, None that it did.

        sent_at: when it was asked, in event loop time.
        """
        now = asyncio.get_running_loop().time()
        self.give_back(endpoint)
        endpoint.is_slow = failure is not None and failure.timed_out
        if failure is None:
            endpoint.trouble = "answers others"
            endpoint.failures = 0
            endpoint.congestion.grow()
            return
        endpoint.trouble = failure.detail
        if failure.wait_seconds is not None:
            endpoint.not_before = max(endpoint.not_before, now + failure.wait_seconds)
        if failure.rate_limited or failure.timed_out:
            self._shrink(endpoint, failure, sent_at, now)
            return
        endpoint.failures += 1
        if failure.refused_connection or endpoint.failures >= FAILURES_IN_A_ROW:
            endpoint.up = False
            self._probe_those_aside()

    def _shrink(self, endpoint: Endpoint, failure: Transient, sent_at: float, now: float) -> None:
        opened = endpoint.open + 1
        # One that was alone was not too many.
        if opened == 1 or not endpoint.congestion.shrink(opened, sent_at, now):
            return
        kept = int(endpoint.congestion.size)
        if kept < endpoint.fewest:
            endpoint.fewest = kept
            LOG.warning(
                "%s: %s with %d requests open; %d are kept open now, more again as it answers "
                "(llm.max_in_flight)", endpoint.url, failure.detail, opened, kept
            )  # fmt: skip

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
