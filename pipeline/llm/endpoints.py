"""Several endpoints as one: the least busy answers next, one that fails is set aside and probed."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import openai

from pipeline.llm.model import ContextTooLong, EndpointRefused, EndpointUnavailable
from pipeline.llm.trouble import CALL_ERRORS, Asked, Passing, Without, trouble

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
    """One endpoint and what is known of it."""

    url: str
    api: openai.AsyncOpenAI
    open: int = 0
    up: bool = False
    failures: int = 0
    trouble: str = "not asked yet"
    is_vllm: bool = False
    max_model_len: int | None = None
    without: set[str] = field(default_factory=set)

    async def complete(self, body: JsonObject, timeout_seconds: float) -> JsonObject:
        """The chat completion for a body, less what this endpoint does not know. Raises CALL_ERRORS."""
        sent = {name: value for name, value in body.items() if name not in self.without}
        if "logprobs" not in sent:
            sent.pop("top_logprobs", None)
        if "max_tokens" in self.without:
            sent["max_completion_tokens"] = body["max_tokens"]
        async with asyncio.timeout(timeout_seconds):
            # cast_to=object skips the package's response models: half the time of a short request.
            answer = await self.api.post("/chat/completions", body=sent, cast_to=object)
        if not isinstance(answer, dict):
            raise ValueError("the answer is no JSON object")
        return answer


class Endpoints:
    """All endpoints of a run, for one event loop. Nothing is asked before the first `take`."""

    def __init__(self, urls: Sequence[str], model: str, key: str, key_env: str) -> None:
        self._model = model
        self._key = key
        self._key_env = key_env
        self._endpoints = [
            Endpoint(
                url,
                openai.AsyncOpenAI(
                    base_url=url,
                    api_key=key,
                    max_retries=0,
                    timeout=None,
                    # aiohttp halves the time of a request on loopback against the default.
                    http_client=openai.DefaultAioHttpClient(timeout=None),
                ),
            )
            for url in urls
        ]
        self._probes: dict[Endpoint, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._refused: EndpointRefused | None = None

    async def take(self, label: str, deadline: float) -> Endpoint:
        """The least busy endpoint that is up; give it back with `done`. Waits while there is none.

        deadline: event loop time. Raises EndpointUnavailable after it, EndpointRefused at once.
        """
        while True:
            if self._refused is not None:
                raise EndpointRefused(self._refused.detail, self._refused.remedy)
            up = [endpoint for endpoint in self._endpoints if endpoint.up]
            if up:
                chosen = min(up, key=lambda endpoint: endpoint.open)
                chosen.open += 1
                return chosen
            self._probe_those_aside()
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                troubles = "; ".join(endpoint.trouble for endpoint in self._endpoints)
                raise EndpointUnavailable(label, troubles) from None

    def done(self, endpoint: Endpoint, failure: Passing | None) -> None:
        """Gives an endpoint back; failure says why it did not answer, None that it did."""
        endpoint.open -= 1
        if failure is None:
            endpoint.failures = 0
            return
        endpoint.failures += 1
        endpoint.trouble = failure.detail
        if failure.refused_connection or endpoint.failures >= FAILURES_IN_A_ROW:
            endpoint.up = False
            self._probe_those_aside()

    def asked(self, label: str, endpoint: Endpoint, without: frozenset[str] = frozenset()) -> Asked:
        """A request to an endpoint, as error messages name it."""
        return Asked(label, endpoint.url, self._model, self._key_env, self._key, without)

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
            elif isinstance(problem, Passing):
                endpoint.trouble = problem.detail
                await asyncio.sleep(backoff(failures))
                failures += 1
            else:
                endpoint.failures = 0
                endpoint.up = True
        self._changed.set()

    async def _look_at(self, endpoint: Endpoint) -> Passing | EndpointRefused | None:
        """Asks which models are served; None where all is well."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                listing = await endpoint.api.get("/models", cast_to=object)
        except CALL_ERRORS as error:
            if isinstance(error, openai.APIStatusError) and error.status_code in (400, 404, 405):
                return None  # a provider without a list of models; the first request will show
            found = trouble(error, self.asked("the list of models", endpoint))
            return None if isinstance(found, Without | ContextTooLong) else found
        models = listing.get("data") if isinstance(listing, dict) else None
        return self._note(endpoint, [m for m in models or [] if isinstance(m, dict)])

    def _note(self, endpoint: Endpoint, models: list[JsonObject]) -> EndpointRefused | None:
        endpoint.is_vllm = any(model.get("owned_by") == "vllm" for model in models)
        names = [str(model.get("id")) for model in models]
        ours = next((model for model in models if model.get("id") == self._model), None)
        if ours is not None:
            endpoint.max_model_len = ours.get("max_model_len")
        # Others serve names that they do not list; what vLLM does not list it does not serve.
        elif endpoint.is_vllm:
            return EndpointRefused(
                f"endpoint {endpoint.url} serves {names}, not {self._model!r}",
                "set llm.model or start the server with that name",
            )
        return None
