"""A model behind an OpenAI-compatible endpoint, asked as one here is; what its cache holds is not seen."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from openai import AsyncOpenAI, OpenAI, OpenAIError

from pipeline.attention.generate import Response
from pipeline.evaluate.config import SamplingConfig
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.local_model import Written
from pipeline.evaluate.modes import Mode
from pipeline.files.atomic import value_digest
from schemas.openmementos import THINK_END, THINK_START

_RETRIES = 8
_SECONDS = 3_600.0
_KEY = "OPENAI_API_KEY"
# Of a prompt in its densest writing, to a token; and tokens of a chat template around it.
_BYTES, _TEMPLATE = 2, 64


class EndpointModel:
    """URL#NAME, or URL alone where it serves one model. Raises EvaluateError where it does not answer.

    Whether a server drops blocks is not seen from here: it is asked as it is served, in one mode.
    """

    sees_cache = False

    def __init__(self, place: str) -> None:
        self._url, _, name = place.partition("#")
        self._key = os.environ.get(_KEY, "none")
        try:
            with OpenAI(base_url=self._url, api_key=self._key) as client:
                served = {model.id: model for model in client.models.list()}
        except OpenAIError as error:
            raise EvaluateError(
                f"models {self._url}: does not say what it serves ({error}); the URL ends in /v1, a key is "
                f"taken from {_KEY}"
            ) from None
        if (name and name not in served) or (not name and len(served) != 1):
            raise EvaluateError(
                f"models {place}: serves {', '.join(served) or 'nothing'}; name one: {self._url}#NAME"
            )
        self._name = name or next(iter(served))
        # Others refuse a field that they do not know; vLLM leaves the tokens of the format out without it.
        is_vllm = served[self._name].owned_by == "vllm"
        self._extra = {"skip_special_tokens": False} if is_vllm else {}
        # vLLM refuses a request whose prompt and max_tokens are more.
        self._window: int | None = getattr(served[self._name], "max_model_len", None)

    @property
    def digest(self) -> str:
        """Of the endpoint's address and the model's name."""
        return value_digest([self._url, self._name])

    def modes(self, wanted: Sequence[Mode]) -> tuple[list[Mode], str]:
        """The first of these modes but restart, and why not the others."""
        found = [Mode(mode) for mode in wanted if mode is not Mode.RESTART][:1]
        why = "an endpoint is asked once, as it is served: what it does with its cache is not seen from here"
        return found, why if len(found) < len(wanted) else ""

    def write(
        self, prompts: Sequence[str], seeds: Sequence[int], mode: Mode, sampling: SamplingConfig
    ) -> list[Written]:
        """A response to each prompt, all asked at once. Raises EvaluateError where the endpoint gives up.

        Of a response's tokens and of what was held only the numbers of tokens are known.
        """
        return asyncio.run(self._all(prompts, seeds, sampling))

    async def _all(
        self, prompts: Sequence[str], seeds: Sequence[int], sampling: SamplingConfig
    ) -> list[Written]:
        async with AsyncOpenAI(
            base_url=self._url, api_key=self._key, max_retries=_RETRIES, timeout=_SECONDS
        ) as client:
            asked = (self._one(client, *each, sampling) for each in zip(prompts, seeds, strict=True))
            try:
                return await asyncio.gather(*asked)
            except OpenAIError as error:
                raise EvaluateError(
                    f"models {self._url}: {error}; the batches before this one are kept"
                ) from None

    async def _one(self, client: AsyncOpenAI, prompt: str, seed: int, sampling: SamplingConfig) -> Written:
        answer = await client.chat.completions.create(
            model=self._name,
            messages=[{"role": "user", "content": prompt}],
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=self._most_tokens(prompt, sampling),
            seed=seed % 2**31,
            extra_body=self._extra,
        )
        choice, usage = answer.choices[0], answer.usage
        response = Response(
            ids=[0] * (usage.completion_tokens if usage else 0), is_ended=choice.finish_reason == "stop"
        )
        return Written(_text(choice.message), usage.prompt_tokens if usage else 0, response)

    def _most_tokens(self, prompt: str, sampling: SamplingConfig) -> int:
        """As many as wanted, or as the window surely leaves."""
        if self._window is None:
            return sampling.new_tokens
        return max(1, min(sampling.new_tokens, self._window - len(prompt.encode()) // _BYTES - _TEMPLATE))


def _text(message: Any) -> str:
    """The whole response; some servers give the thinking beside it."""
    content = message.content or ""
    thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    return f"{THINK_START}{thought}{THINK_END}{content}" if thought else content
