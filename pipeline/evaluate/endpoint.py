"""A model behind OpenAI-compatible endpoints, asked by the build's client; its cache is not seen."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pipeline.attention.generate import Response
from pipeline.config import LlmConfig
from pipeline.config import SamplingConfig as AllSampling
from pipeline.evaluate.answering import Came, Failed
from pipeline.evaluate.config import AskingSection, SamplingConfig
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.local_model import Written
from pipeline.evaluate.modes import Mode
from pipeline.files.atomic import value_digest
from pipeline.llm.client import Client
from pipeline.llm.deviations import Notices
from pipeline.llm.errors import Attempt, classified
from pipeline.llm.http_json import CALL_ERRORS, NO_LIST, Api, PageError, StatusError
from pipeline.llm.model import (
    ContextTooLong,
    EndpointRefused,
    EndpointUnavailable,
    FreeText,
    Message,
    Reply,
    ReplyError,
    Request,
    RequestRefused,
)
from pipeline.llm.urls import shown_url, url_fault

TOO_LONG = "prompt does not fit"
TOO_LONG_TOGETHER = "prompt and --new-tokens do not fit"
_SECONDS = 10.0
_SECONDS_TOGETHER = 0.02
# Tokens as they come, from all of them.
_USUAL = AllSampling().model_dump()
# So many tokens before the window's end it is the window that has cut a response.
_NEAR = 16


class EndpointModel:
    """URL#NAME, or URL alone where it serves one model; several endpoints of it as URL,URL#NAME.

    Whether a server drops blocks is not seen from here: it is asked as it is served, in one mode. Raises
    EvaluateError where it does not answer.
    """

    sees_cache = False

    def __init__(
        self, place: str, section: AskingSection, tell: Callable[[str], None] = lambda line: None
    ) -> None:
        urls, _, self._name = place.partition("#")
        self._place = shown_url(place)
        self._urls = [url.strip() for url in urls.split(",")]
        self._section = section
        self._notices = Notices(tell)
        self._config = LlmConfig(
            max_in_flight=section.max_in_flight,
            api_key_env=section.api_key_env,
            request_timeout_seconds=section.request_timeout_seconds,
            deadline_seconds=section.deadline_seconds,
            extra_body=section.extra_body,
        )
        if fault := next((fault for url in self._urls if (fault := url_fault(url))), None):
            raise EvaluateError(f"models {self._place}: {fault}; write http://host:8000/v1#NAME")
        served = asyncio.run(self._served())
        names = [str(model.get("id")) for model in served]
        is_vllm = any(model.get("owned_by") == "vllm" for model in served)
        # Others serve names that they do not list; what vLLM does not list it does not serve.
        if (self._name not in names and is_vllm) if self._name else len(set(names)) != 1:
            raise EvaluateError(
                f"models {self._place}: serves {', '.join(dict.fromkeys(names)) or 'nothing that it lists'}; "
                f"name one: {shown_url(urls)}#NAME"
            )
        self._name = self._name or names[0]
        self._is_vllm = is_vllm
        windows = [model.get("max_model_len") for model in served if model.get("id") == self._name]
        self._window = min((window for window in windows if type(window) is int), default=None)

    @property
    def digest(self) -> str:
        """Of the model's name, the first endpoint's address, and what else every request says."""
        return value_digest([self._urls[0], self._name, self._section.extra_body])

    def modes(self, wanted: Sequence[Mode]) -> tuple[list[Mode], str]:
        """The first of these modes but restart, and why not the others."""
        found = [Mode(mode) for mode in wanted if mode is not Mode.RESTART][:1]
        why = "an endpoint is asked once, as it is served: what it does with its cache is not seen from here"
        return found, why if len(found) < len(wanted) else ""

    def resolved(self, sampling: SamplingConfig) -> SamplingConfig:
        """What the server is told; None stays what it takes from the model's generation config."""
        if sampling.temperature != 0:
            return sampling
        # The likeliest token is the likeliest of all.
        ours = sampling.model_dump(include={*_USUAL})
        return sampling.model_copy(update={name: _USUAL[name] for name in ours})

    def stream(
        self, prompts: Sequence[str], seeds: Sequence[int], mode: Mode, sampling: SamplingConfig
    ) -> Iterator[list[Came]]:
        """Responses as they come, every ten seconds at least, perhaps none. Raises EvaluateError.

        Of a response's tokens and of what was held only the numbers of tokens are known.
        """
        responses = self._responses(prompts, seeds, sampling)

        async def following() -> list[Came] | None:
            return await anext(responses, None)

        with asyncio.Runner() as runner:
            try:
                while (came := runner.run(following())) is not None:
                    yield came
            finally:
                runner.run(_closed(responses))

    async def _responses(
        self, prompts: Sequence[str], seeds: Sequence[int], sampling: SamplingConfig
    ) -> AsyncGenerator[list[Came], None]:
        coming: asyncio.Queue[Came | Exception] = asyncio.Queue()
        async with Client(self._config, self._urls, self._name, None, self._notices) as client:
            await client.look()

            async def ask(number: int) -> None:
                try:
                    request = self._request(prompts[number], seeds[number], sampling)
                    coming.put_nowait((number, await self._written(client, request)))
                except ReplyError as error:
                    coming.put_nowait((number, Failed(f"answered with {error.reason}")))
                except RequestRefused as error:
                    coming.put_nowait((number, Failed(f"refused by {error.detail}")))
                except Exception as error:
                    coming.put_nowait(error)

            numbers = iter(range(len(prompts)))

            async def keep_asking() -> None:
                for number in numbers:
                    await ask(number)

            open_at_once = min(self._section.max_in_flight, len(prompts))
            asking = [asyncio.create_task(keep_asking()) for _ in range(open_at_once)]
            left = len(prompts)
            try:
                while left:
                    came = await _all_that_came(coming)
                    left -= len(came)
                    yield [each for each in came if not isinstance(each, Exception)]
                    for each in came:
                        if isinstance(each, Exception):
                            raise self._stopped(each)
            finally:
                for task in asking:
                    task.cancel()
                await asyncio.gather(*asking, return_exceptions=True)

    def _request(self, prompt: str, seed: int, sampling: SamplingConfig) -> Request:
        told = sampling.model_dump(include={*_USUAL})
        known = {name: value for name, value in told.items() if value is not None}
        # Who leaves nothing to the makers does not want their penalties either.
        is_all_told = sampling.temperature is not None and len(known) == len(told)
        # Where the window is surely what limits, saying so would only be refused.
        is_limited = self._is_vllm and self._window is not None and sampling.new_tokens >= self._window
        return Request(
            messages=(Message("user", prompt),),
            constraint=FreeText(),
            max_tokens=None if is_limited else sampling.new_tokens,
            temperature=sampling.temperature,
            seed=seed % 2**31,
            purpose="evaluate",
            label="a problem",
            sampling={**(_USUAL if is_all_told else {}), **known},
        )

    async def _written(self, client: Client, request: Request) -> Written:
        try:
            reply = await self._reply(client, request)
        except ContextTooLong:
            return Written("", 0, Response(), TOO_LONG if self._is_vllm else TOO_LONG_TOGETHER)
        response = Response(ids=[0] * reply.used.completion_tokens, is_ended=reply.ended)
        return Written(
            reply.text,
            reply.used.prompt_tokens,
            response,
            unknown_end=reply.unknown_end,
            deviations=reply.deviations,
        )

    async def _reply(self, client: Client, request: Request) -> Reply:
        """A reply of as many tokens as wanted, or as the window leaves. Raises ContextTooLong for none.

        How many tokens a prompt has is the server's to say, never estimated: where the window is what limits,
        vLLM takes all that is left if nothing is said.
        """
        try:
            reply = await client.ask(request)
        except ContextTooLong:
            if not self._is_vllm or request.max_tokens is None:
                raise
            request = replace(request, max_tokens=None)
            reply = await client.ask(request)
        if reply.ended or request.max_tokens is not None or self._window is None:
            return reply
        left = self._window - reply.used.prompt_tokens
        if left - reply.used.completion_tokens <= _NEAR:
            return reply
        # Cut before the window's end, by the most tokens that the model's generation config names.
        return await client.ask(replace(request, max_tokens=left))

    def _stopped(self, error: Exception) -> Exception:
        kept = "what has come is kept, the same command goes on"
        if isinstance(error, EndpointRefused):
            remedy = error.remedy.replace("llm.model", "#NAME")
            return EvaluateError(f"models {self._place}: {error.detail}\n  {remedy}; {kept}")
        if isinstance(error, EndpointUnavailable):
            return EvaluateError(f"models {self._place}: no answer in time ({error.detail})\n  {kept}")
        return error

    async def _served(self) -> list[dict[str, Any]]:
        """The models that the endpoints list. Raises EvaluateError where none of them answers."""
        key = os.environ.get(self._section.api_key_env, "").strip() or "none"
        found = await asyncio.gather(*(self._listed(url, key) for url in self._urls))
        faults = [each for each in found if isinstance(each, str)]
        if len(faults) == len(found):
            raise EvaluateError(
                f"models {self._place}: does not say what it serves ({'; '.join(faults)}); the URL ends in "
                f"/v1, a key is taken from {self._section.api_key_env}"
            )
        return [model for each in found if not isinstance(each, str) for model in each]

    async def _listed(self, url: str, key: str) -> list[dict[str, Any]] | str:
        """The models that an endpoint lists, or why it does not. Raises EvaluateError where it never will."""
        api = Api(url, key)
        try:
            async with asyncio.timeout(_SECONDS):
                listing = await api.get("/models")
        except CALL_ERRORS as error:
            # A provider without a list.
            if isinstance(error, PageError) or (isinstance(error, StatusError) and error.status in NO_LIST):
                said = error.said if isinstance(error, PageError) else f"{error.status} {error.said}"
                return [] if self._name else said
            asked = Attempt("the list", shown_url(url), self._name, self._section.api_key_env, key)
            problem = classified(error, asked)
            if isinstance(problem, EndpointRefused):
                raise self._stopped(problem) from None
            return str(getattr(problem, "detail", problem))
        finally:
            await api.close()
        models = listing.get("data") if isinstance(listing, dict) else None
        return [model for model in models or [] if isinstance(model, dict)]


async def _all_that_came(coming: "asyncio.Queue[Came | Exception]") -> list[Came | Exception]:
    came: list[Came | Exception] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(_SECONDS):
            came.append(await coming.get())
            # Many come together: what follows them is sent before anybody looks at them.
            await asyncio.sleep(_SECONDS_TOGETHER)
    while not coming.empty():
        came.append(coming.get_nowait())
    return came


async def _closed(responses: AsyncGenerator[list[Came], None]) -> None:
    await responses.aclose()
