"""The client of language models: sends, retries, validates, caches, counts."""

import asyncio
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from pipeline.config import LlmConfig, SamplingConfig
from pipeline.llm import chat_completions
from pipeline.llm.cache import ReplyCache, Stored, request_key
from pipeline.llm.deviations import Deviation, Notices
from pipeline.llm.endpoints import Deadline, Endpoint, Endpoints, backoff
from pipeline.llm.errors import NO_KEY, SYSTEM, Transient, Unsupported, classified
from pipeline.llm.http_json import CALL_ERRORS
from pipeline.llm.model import (
    ContextTooLong,
    EndpointRefused,
    FreeText,
    Message,
    Reply,
    ReplyError,
    Request,
    RequestRefused,
    Usage,
)
from pipeline.llm.prompt_cutting import PromptWatch

FROM_DISK = Usage(replies_from_disk=1)
# Of the answer to a probe, which nobody reads; fewer than 16 some providers refuse.
_PROBE_TOKENS = 16


class Client:
    """A `Model` behind one or several OpenAI-compatible endpoints; for one event loop.

    `async with Client(config, endpoints, model, cache) as client: await client.ask(request)`. The cache
    stays the caller's to close. notices: hears what the endpoints do otherwise than asked. The key is read
    from the environment and appears nowhere else.
    """

    def __init__(
        self,
        config: LlmConfig,
        endpoints: Sequence[str],
        model: str,
        cache: ReplyCache | None,
        notices: Notices | None = None,
    ) -> None:
        if not endpoints:
            raise ValueError("a client needs at least one endpoint")
        self._config = config
        self._model = model
        self._cache = cache
        self._notices = notices or Notices()
        # A key from a file that is mounted ends with a line.
        self._key = os.environ.get(config.api_key_env, "").strip() or NO_KEY
        self._urls = tuple(endpoints)
        self._chosen_by = config.model_dump(mode="json", include={"sampling", "extra_body"})
        self._slots = asyncio.Semaphore(config.max_in_flight)
        self._asking: dict[str, asyncio.Task[Reply]] = {}
        self._usage: dict[str, Usage] = {}
        self._watches: dict[str, PromptWatch] = {}

    @property
    def usage(self) -> dict[str, Usage]:
        """Tokens and requests so far by purpose, those of failed requests included."""
        return dict(self._usage)

    @property
    def running(self) -> int:
        """Requests that are with an endpoint now; others wait for a slot, an endpoint or their next try."""
        return self._endpoints.running

    async def __aenter__(self) -> Self:
        self._endpoints = Endpoints(
            self._urls, self._model, self._key, self._config.api_key_env, self._config.max_in_flight
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        await self._endpoints.close()

    async def look(self) -> None:
        """Asks each endpoint once whether it is there, so that a few long requests go to all that are."""
        await self._endpoints.look()

    async def context_window(self) -> int | None:
        """Tokens that the model can see: as configured, else as the endpoint tells, else None."""
        if self._config.context_window is not None:
            return self._config.context_window
        label = "the context window"
        endpoint = await self._endpoints.take(label, self._deadline())
        self._endpoints.give_back(endpoint)
        return endpoint.max_model_len

    async def ask(self, request: Request) -> Reply:
        """A reply that satisfies `request.constraint`: from disk, or asked for until it does.

        Equal requests share one reply. Unusable replies of earlier runs count as attempts, but not as this
        run's. Raises ReplyError after max_attempts unusable replies, ContextTooLong or RequestRefused,
        EndpointUnavailable after deadline_seconds, EndpointRefused at once.

        A FreeText is its asker's to keep: it is not put on disk. Raises ValueError where there is a cache.
        """
        if self._cache is not None and isinstance(request.constraint, FreeText):
            raise ValueError("a FreeText is its asker's to keep: give the client no cache")
        key = request_key(request, self._model, self._chosen_by)
        if (known := self._from_disk(key, request)) is not None:
            return known
        if (task := self._asking.get(key)) is not None:
            reply = await asyncio.shield(task)
            self._count(request, FROM_DISK)
            return replace(reply, usage=FROM_DISK)
        task = asyncio.create_task(self._answer(key, request))
        self._asking[key] = task
        task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: str, done: asyncio.Task[Reply]) -> None:
        del self._asking[key]
        # Looked at, so that asyncio does not complain where the asker has gone.
        if not done.cancelled():
            done.exception()

    def _from_disk(self, key: str, request: Request) -> Reply | None:
        stored = self._cache.get(key) if self._cache is not None else None
        if stored is None:
            return None
        try:
            reading = chat_completions.validated(
                request.constraint, stored.text, drop_thinking=self._config.drop_thinking
            )
        except chat_completions.UnusableReply:
            return None  # the rules are stricter now than when it was stored
        return Reply(
            text=reading.text,
            model=stored.model,
            attempts=stored.attempts,
            usage=self._count(request, FROM_DISK + self._paid_before(key)),
            probabilities=stored.probabilities,
            value=reading.value,
            uncertainties=stored.uncertainties,
            deviations=tuple(sorted({*stored.deviations, *reading.deviations})),
        )

    async def _answer(self, key: str, request: Request) -> Reply:
        async with self._slots:
            reply = await self._usable(key, request, self._deadline())
        if self._cache is not None:
            self._cache.put(key, _to_store(reply))
        return reply

    async def _usable(self, key: str, request: Request, deadline: Deadline) -> Reply:
        spent = self._count(request, self._paid_before(key))
        replies: list[str] = []
        reason = ""
        first = self._cache.attempts(key) if self._cache is not None else 0
        for attempt in range(first, first + self._config.max_attempts):
            completion, usage, without = await self._completion(key, request, attempt, deadline)
            spent += usage
            try:
                reading = chat_completions.parse_reply(request, completion, self._config)
            except chat_completions.UnusableReply as unusable:
                reason = str(unusable)
                replies.append(unusable.text)
                spent += self._count(request, Usage(invalid_replies=1))
                if self._cache is not None:
                    self._cache.put_unusable(key, unusable.text, attempt + 1, spent)
                continue
            for line in filter(None, (deviation.line for deviation in reading.deviations)):
                self._notices.once(line)
            return Reply(
                text=reading.text,
                model=self._model,
                attempts=attempt + 1,
                usage=spent,
                probabilities=reading.probabilities,
                value=reading.value,
                uncertainties=reading.uncertainties,
                ended=reading.ended,
                unknown_end=reading.unknown_end,
                used=usage if isinstance(request.constraint, FreeText) else Usage(),
                deviations=tuple(sorted({*reading.deviations, *without})),
            )
        raise ReplyError(request.label, reason, replies)

    async def _completion(
        self, key: str, request: Request, attempt: int, deadline: Deadline
    ) -> tuple[chat_completions.JsonObject, Usage, frozenset[Deviation]]:
        """A completion of any quality to the whole prompt, tried until the deadline, and what it took.

        And what of the request this endpoint did not take.
        """
        spent = Usage()
        loop = asyncio.get_running_loop()
        avoided: Endpoint | None = None
        excused = int(math.log2(self._config.max_in_flight)) + 1
        while True:
            endpoint = await self._endpoints.take(request.label, deadline, request.home, avoided)
            sent_at = loop.time()
            answer = await self._try(endpoint, request, attempt)
            if not isinstance(answer, Transient | Unsupported):
                spent += self._count(request, chat_completions.usage(answer))
                await self._refuse_cut_prompts(key, request, endpoint, answer, deadline)
                return answer, spent, _left_out(request, endpoint)
            spent += self._count(request, Usage(retries=1))
            if isinstance(answer, Transient) and answer.timed_out:
                avoided = endpoint
            crowded = endpoint.congestion.shrunk_at > sent_at
            if isinstance(answer, Transient) and answer.timed_out and crowded and excused:
                # Too many were open at once, of which fewer are now: so often that one is left in the end.
                excused -= 1
                deadline.at += loop.time() - sent_at
            # Where the endpoint said how long, `take` holds all requests back.
            elif isinstance(answer, Transient) and answer.wait_seconds is None:
                await self._wait(request.label, spent.retries, deadline)

    async def _try(
        self, endpoint: Endpoint, request: Request, attempt: int
    ) -> chat_completions.JsonObject | Transient | Unsupported:
        style = self._style(endpoint)
        body = chat_completions.request_body(
            request, attempt, self._model, style, self._sampling(endpoint, request), self._config.extra_body
        )
        without = frozenset(endpoint.without)
        failure: Transient | None = None
        sent_at = asyncio.get_running_loop().time()
        try:
            return await endpoint.complete(body, self._config.request_timeout_seconds)
        except CALL_ERRORS as error:
            asked = self._endpoints.attempt(request.label, endpoint, without)
            problem = classified(error, asked)
            if isinstance(problem, Transient):
                failure = problem
            if isinstance(problem, Unsupported):
                endpoint.without.add(problem.field)
                self._notices.once(f"endpoint {endpoint.url}: {problem}")
            if isinstance(problem, Transient | Unsupported):
                return problem
            # `from None`: what the package raised holds the request with its headers.
            raise problem from None
        finally:
            self._endpoints.done(endpoint, failure, sent_at)

    async def _refuse_cut_prompts(
        self,
        key: str,
        request: Request,
        endpoint: Endpoint,
        answer: chat_completions.JsonObject,
        deadline: Deadline,
    ) -> None:
        """Raises EndpointRefused where an endpoint has not read all of a prompt; vLLM would refuse it."""
        if endpoint.is_vllm:
            return
        watch = self._watches.setdefault(endpoint.base, PromptWatch())
        told = chat_completions.usage(answer).prompt_tokens

        async def count(text: str) -> int | None:
            return await self._counted(text, endpoint, deadline)

        cut = await watch.check(key, request.messages, told, count)
        if cut is None:
            return
        if self._cache is not None and cut.earlier is not None:
            self._cache.revoke(cut.earlier, "a reply to a prompt that the server has cut")
        raise EndpointRefused(
            f"endpoint {endpoint.url} cuts long prompts without a word: of a text of {cut.sent:,} tokens or "
            f"more it has read {cut.read:,} (usage.prompt_tokens)",
            "give it a larger window (Ollama: `OLLAMA_CONTEXT_LENGTH=32768 ollama serve`, or `PARAMETER "
            f"num_ctx 32768` in a Modelfile), or set llm.context_window to {cut.read}",
        )

    async def _counted(self, text: str, endpoint: Endpoint, deadline: Deadline) -> int | None:
        """Tokens of a text as an endpoint counts them, None where it refuses it."""
        probe = Request(
            (Message("user", text),), FreeText(), _PROBE_TOKENS, 0.0, 0, "probe", "whether prompts are cut"
        )
        retries = 0
        while True:
            endpoint.open += 1  # `_try` gives it back
            try:
                answer = await self._try(endpoint, probe, 0)
            except (ContextTooLong, RequestRefused):
                return None
            if not isinstance(answer, Transient | Unsupported):
                return self._count(probe, chat_completions.usage(answer)).prompt_tokens
            retries += 1
            self._count(probe, Usage(retries=1))
            if isinstance(answer, Transient):
                await self._wait(probe.label, retries, deadline)

    def _sampling(self, endpoint: Endpoint, request: Request) -> dict[str, float]:
        told = self._config.sampling.model_dump() if request.sampling is None else request.sampling
        usual = SamplingConfig().model_dump()
        # vLLM takes from the model's folder what is not said; others may not know a field that they are told.
        return {name: value for name, value in told.items() if endpoint.is_vllm or value != usual[name]}

    async def _wait(self, label: str, times: int, deadline: Deadline) -> None:
        seconds = backoff(times - 1)
        if asyncio.get_running_loop().time() + seconds > deadline.at:
            raise self._endpoints.unavailable(label)
        await asyncio.sleep(seconds)

    def _style(self, endpoint: Endpoint) -> chat_completions.Style:
        if self._config.constraints != "auto":
            return self._config.constraints
        return "structured_outputs" if endpoint.is_vllm else "response_format"

    def _paid_before(self, key: str) -> Usage:
        return self._cache.take_paid_before(key) if self._cache is not None else Usage()

    def _deadline(self) -> Deadline:
        return Deadline(asyncio.get_running_loop().time() + self._config.deadline_seconds)

    def _count(self, request: Request, usage: Usage) -> Usage:
        self._usage[request.purpose] = self._usage.get(request.purpose, Usage()) + usage
        return usage


def _left_out(request: Request, endpoint: Endpoint) -> frozenset[Deviation]:
    """What of a request an endpoint does not take, of all that is recorded as told."""
    said = {
        Deviation.WITHOUT_SEED: "seed",
        Deviation.WITHOUT_TEMPERATURE: "temperature" if request.temperature is not None else "",
        Deviation.SYSTEM_IN_USER: SYSTEM if request.messages[0].role == SYSTEM else "",
    }
    return frozenset(deviation for deviation, name in said.items() if name in endpoint.without)


def _to_store(reply: Reply) -> Stored:
    return Stored(
        reply.text,
        reply.model,
        reply.attempts,
        reply.usage,
        reply.probabilities,
        reply.uncertainties,
        reply.deviations,
    )
