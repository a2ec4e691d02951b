"""Inspect AI's way to a model here: `inspect eval TASK --model openmementos/FOLDER -M mode=memento`.

Found by Inspect through the package's entry point. Its benchmarks so run with finished blocks really dropped;
the peak of the KV cache is in each output's metadata. Inspect asks for other versions than vLLM does: install
`openmementos[inspect]` into an environment of its own.
"""

import secrets
from typing import Any

import anyio
from inspect_ai.log._samples import sample_active  # the only way to the epoch from here
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from pipeline.evaluate.config import SamplingConfig
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.local_model import LocalModel, Written
from pipeline.evaluate.modes import Mode
from pipeline.evaluate.responses import parts_of


@modelapi(name="openmementos")  # type: ignore[untyped-decorator]
def openmementos() -> type[ModelAPI]:
    """The model API's class, as Inspect looks for it."""
    return MementoModel


class MementoModel(ModelAPI):  # type: ignore[misc]
    """A model of Transformers in a folder or on the Hub, which answers in one mode.

    mode: vanilla, memento or restart; block_limit: tokens after which a block is ended. What Inspect is not
    told of sampling is as the model's makers recommend. Raises EvaluateError where the model cannot be used,
    and at the second epoch of a problem whose likeliest tokens are taken: it would be answered the same.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        mode: str = Mode.MEMENTO,
        block_limit: int | None = None,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        self._model = LocalModel(model_name, lambda line: None)
        self._mode = Mode(mode)
        self._calls = 0
        modes, why_not = self._model.modes([self._mode])
        if not modes:
            raise EvaluateError(f"models {model_name}: {why_not}; take -M mode=vanilla")
        self._block_limit = block_limit

    def max_connections(self) -> int:
        """One: a response has the model for itself."""
        return 1

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """The answer behind the thinking; the whole response is in the metadata."""
        if tools:
            raise ValueError("memento models are asked without tools")
        if config.stop_seqs or any(message.role not in ("system", "user") for message in input):
            raise ValueError("memento models are asked once, without earlier answers and stop sequences")
        prompt = "\n\n".join(message.text for message in input)
        sampling = self._model.resolved(
            SamplingConfig(
                temperature=config.temperature,
                top_p=config.top_p,
                top_k=config.top_k,
                new_tokens=config.max_tokens or SamplingConfig().new_tokens,
                block_limit=self._block_limit,
            )
        )
        sample = sample_active()
        if sampling.temperature == 0 and sample and sample.epoch > 1:
            raise EvaluateError(
                f"models {self.model_name}: epochs are all the same at temperature 0: give a --temperature "
                "above 0, or --epochs 1"
            )
        # Each epoch of a problem is another draw.
        seed = secrets.randbits(31) if config.seed is None else config.seed + self._calls
        self._calls += 1
        written = await anyio.to_thread.run_sync(self._written, prompt, seed, sampling)
        return self._output(written, sampling)

    def _written(self, prompt: str, seed: int, sampling: SamplingConfig) -> Written:
        (written,) = self._model.write([prompt], [seed], self._mode, sampling)
        return written

    def _output(self, written: Written, sampling: SamplingConfig) -> ModelOutput:
        response = written.response
        answer = parts_of(written.text, is_ended=response.is_ended).answer
        tokens = len(response.ids)
        metadata: dict[str, Any] = {
            "response": written.text,
            "peak_tokens": max(response.held, default=0),
            "area_tokens": sum(response.held),
            "sampling": sampling.model_dump(include={"temperature", "top_p", "top_k", "min_p"}),
        }
        stopped = "stop" if response.is_ended else "max_tokens"
        return ModelOutput(
            model=self.model_name,
            choices=[
                ChatCompletionChoice(
                    message=ChatMessageAssistant(content=answer or "", source="generate"),
                    stop_reason="model_length" if written.fault else stopped,
                )
            ],
            usage=ModelUsage(
                input_tokens=written.prompt_tokens,
                output_tokens=tokens,
                total_tokens=written.prompt_tokens + tokens,
            ),
            metadata=metadata,
            error=written.fault or None,
        )
