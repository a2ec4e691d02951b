"""One validated, frozen description of an evaluation: who is asked what, and how."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.config import Section
from pipeline.evaluate.modes import Mode


class SamplingConfig(Section):
    """How responses are written."""

    temperature: Annotated[
        float | None,
        Field(
            ge=0, description="0 takes the likeliest token each time; null: as the model's makers recommend."
        ),
    ] = None
    top_p: Annotated[
        float | None, Field(gt=0, le=1, description="Likeliest tokens of this total; null: as recommended.")
    ] = None
    top_k: Annotated[
        int | None,
        Field(ge=0, description="So many of the likeliest tokens, 0 is all; null: as recommended."),
    ] = None
    min_p: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="Tokens at least this share as likely as the likeliest; null: as recommended.",
        ),
    ] = None
    samples: Annotated[int, Field(ge=1, description="Responses to each problem.")] = 1
    new_tokens: Annotated[int, Field(ge=1, description="Most tokens of a response.")] = 32_768
    block_limit: Annotated[
        int | None,
        Field(ge=1, description="Tokens after which a block that has not ended is ended; null for none."),
    ] = None
    seed: int = 0

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples are all the same at temperature 0: raise it, or ask for one sample")
        return self


class AskingSection(Section):
    """How models behind endpoints are asked; the names are those of a build's `llm`."""

    max_in_flight: Annotated[int, Field(ge=1, description="Requests that are open at once.")] = 64
    api_key_env: Annotated[
        # A key itself, which many write here by mistake, would end up in every record of the run.
        str,
        Field(
            pattern=r"^[A-Z_][A-Z0-9_]*$",
            description="Name of the environment variable, in capitals, that holds the endpoints' key.",
        ),
    ] = "OPENAI_API_KEY"
    request_timeout_seconds: Annotated[float, Field(gt=0, description="Longest wait for one response.")] = (
        3600
    )
    deadline_seconds: Annotated[
        float, Field(gt=0, description="How long transport errors are retried before the evaluation stops.")
    ] = 7200
    extra_body: Annotated[
        dict[str, Any], Field(description="More fields of every request, e.g. chat_template_kwargs.")
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sampling_has_one_place(self) -> Self:
        ours = {"model", "messages", "seed", "max_tokens", "max_completion_tokens", "n", "stream"}
        for name in sorted(self.extra_body.keys() & (SamplingConfig.model_fields.keys() | ours)):
            raise ValueError(f"extra_body has {name}, which is said elsewhere: see sampling")
        return self


class ProbeSection(Section):
    """A code put into blocks, and read from the keys and values of mementos (arXiv 2604.09852, 6.2)."""

    dataset: Annotated[str, Field(description="Published or run folder, or Hub data set, with the texts.")]
    texts: Annotated[int, Field(ge=1, description="Rows that codes are put into.")] = 20
    sequences: Annotated[int, Field(ge=20, description="Texts with a code each.")] = 2000
    max_tokens: Annotated[int, Field(ge=16, description="Most tokens of a text's first two blocks.")] = 4096
    seed: int = 0


class DatasetSection(Section):
    """A data set whose mementos are judged by what they are for."""

    path: Annotated[str, Field(description="Published or run folder, or Hub data set.")]
    vocabulary: Annotated[
        Literal["cl100k_base", "o200k_base"], Field(description="Tokens that the cache is counted in.")
    ] = "cl100k_base"
    first_blocks: Annotated[
        float,
        Field(
            gt=0, le=1, description="Share of the mementos that are shown without the last, from the first."
        ),
    ] = 1.0
    last_memento: Annotated[
        bool,
        Field(
            description="Whether mementos are sufficient is decided with the last one, which usually names "
            "the answer, among them; both figures are told."
        ),
    ] = False


class Claim(Section):
    """What the results have to show of a model in a mode, else the command fails."""

    model: Annotated[str, Field(description="Its label.")]
    mode: Mode
    task: Annotated[str | None, Field(description="Of which task; null: of all together.")] = None
    left_out: Annotated[
        int | None,
        Field(
            ge=0, description="Of register machines only responses with so many mementos that leave one out."
        ),
    ] = None
    at_least: Annotated[float, Field(ge=0, le=1, description="Least share of right responses.")] = 0.0
    at_most: Annotated[float, Field(ge=0, le=1, description="Largest share of right responses.")] = 1.0

    @model_validator(mode="after")
    def _claims_something(self) -> Self:
        if self.at_least == 0 and self.at_most == 1:
            raise ValueError("claims nothing: give at_least or at_most")
        if self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is more than at_most {self.at_most}")
        return self


class EvaluateConfig(Section):
    """Everything an evaluation depends on."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the evaluation.")
    ] = "evaluation"
    models: Annotated[
        tuple[str, ...],
        Field(
            description="Folders, Hub models or http://…/v1#NAME (several endpoints of a model: "
            "http://a/v1,http://b/v1#NAME), each perhaps LABEL=…"
        ),
    ] = ()
    tasks: Annotated[
        tuple[str, ...], Field(description="Names of tasks, or JSONL or Parquet files, FILE or FILE:KIND.")
    ] = ()
    dataset: DatasetSection | None = None
    probe: ProbeSection | None = None
    modes: tuple[Mode, ...] = tuple(Mode)
    limit: Annotated[int | None, Field(ge=1, description="Most problems of a task; null for all.")] = None
    sampling: SamplingConfig = SamplingConfig()
    batch: Annotated[int, Field(ge=1, description="Responses that a model here writes at once.")] = 8
    llm: AskingSection = AskingSection()
    claims: Annotated[
        tuple[Claim, ...], Field(description="What the results have to show; else the exit code is 4.")
    ] = ()

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if not self.tasks and not self.probe and not self.dataset:
            raise ValueError("nothing to evaluate: name --tasks, or a data set with --dataset or --probe")
        if not self.models and not self.dataset:
            raise ValueError("name a model")
        if self.tasks and not self.modes:
            raise ValueError("name a mode: vanilla, memento, restart")
        if len(set(self.modes)) < len(self.modes):
            raise ValueError(f"modes: one is named twice in {', '.join(self.modes)}")
        return self
