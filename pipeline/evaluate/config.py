"""One validated, frozen description of an evaluation: who is asked what, and how."""

from typing import Annotated, Literal, Self

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


class EvaluateConfig(Section):
    """Everything an evaluation depends on."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the evaluation.")
    ] = "evaluation"
    models: Annotated[
        tuple[str, ...],
        Field(description="Folders, Hub models or http://…/v1#NAME, each perhaps LABEL=…"),
    ] = ()
    tasks: Annotated[
        tuple[str, ...], Field(description="Names of tasks, or JSONL or Parquet files, FILE or FILE:KIND.")
    ] = ()
    dataset: DatasetSection | None = None
    probe: ProbeSection | None = None
    modes: tuple[Mode, ...] = tuple(Mode)
    limit: Annotated[int | None, Field(ge=1, description="Most problems of a task; null for all.")] = None
    sampling: SamplingConfig = SamplingConfig()
    batch: Annotated[int, Field(ge=1, description="Responses that are written at once.")] = 8

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
