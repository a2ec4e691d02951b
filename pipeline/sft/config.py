"""One validated, frozen description of a training run: YAML in, digest out."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.config import Section
from pipeline.procedural.register_machine import INSTRUCTIONS, Kind


class RegisterMachineConfig(Section):
    """A procedural data set that is made before the training, instead of one that is there."""

    kind: Annotated[Kind, Field(description="What mementos name: all registers, all but the last, or mixed.")]
    sizes: Annotated[
        tuple[
            tuple[
                Annotated[int, Field(ge=1, le=9)],
                Annotated[int, Field(ge=1, le=len(INSTRUCTIONS))],
                Annotated[int, Field(ge=1)],
            ],
            ...,
        ],
        Field(
            min_length=1, description="[runs, steps, traces], learnt in this order; the last is held out of."
        ),
    ]
    seed: Annotated[int, Field(description="Seed of the traces.")] = 0


class DataConfig(Section):
    """What is learnt from: a published data set, here or on the Hub, or one that is computed."""

    dataset: Annotated[
        str | None,
        Field(description="Published folder, run folder or Hub dataset, e.g. microsoft/OpenMementos."),
    ] = None
    revision: Annotated[str | None, Field(description="Revision of a Hub dataset.")] = None
    register_machine: RegisterMachineConfig | None = None
    held_out: Annotated[
        float,
        Field(gt=0, le=0.5, description="Share of the problems held out where there is no split for it."),
    ] = 0.02
    limit: Annotated[int | None, Field(ge=1, description="Most rows to train on; null for all.")] = None
    shuffle: Annotated[bool, Field(description="Whether rows are shuffled; false keeps their order.")] = True
    max_tokens: Annotated[
        int,
        Field(
            ge=16, description="Longest row in tokens; longer ones are cut at a block's end. Also of a pack."
        ),
    ] = 32_768

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.dataset is None) == (self.register_machine is None):
            raise ValueError("name either dataset or register_machine")
        return self


class ScratchConfig(Section):
    """A small Llama with random weights and a tokenizer of whole words, for procedural data."""

    layers: Annotated[int, Field(ge=1)] = 4
    width: Annotated[int, Field(ge=8)] = 128
    heads: Annotated[int, Field(ge=1)] = 4
    kv_heads: Annotated[int, Field(ge=1)] = 2


class LoraConfig(Section):
    """Low-rank adapters instead of all weights; the four new embedding rows are trained with them."""

    rank: Annotated[int, Field(ge=1)] = 32
    alpha: Annotated[int, Field(ge=1)] = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    four_bit: Annotated[bool, Field(description="QLoRA: the base model in 4 bits (needs bitsandbytes).")] = (
        False
    )


class ModelConfig(Section):
    """The model that learns."""

    path: Annotated[str | None, Field(description="Hub model or folder; bundled: SmolLM2-135M-Instruct.")] = (
        None
    )
    revision: Annotated[str | None, Field(description="Revision of a Hub model.")] = None
    scratch: ScratchConfig | None = None
    lora: LoraConfig | None = None
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "bf16-stochastic"],
        Field(
            description="fp32: weights, AdamW's moments and sums. bf16: sums in bf16, what learns and its "
            "moments in fp32; with lora the weights that do not learn in bf16. bf16-stochastic: weights in "
            "bf16, each update rounded up or down by chance, so that small ones count on average; moments in "
            "8 bits (needs torchao). auto: bf16 on a GPU, else fp32."
        ),
    ] = "auto"
    gradient_checkpointing: Annotated[
        bool, Field(description="Whether activations are computed twice to save memory.")
    ] = True

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if (self.path is None) == (self.scratch is None):
            raise ValueError("name either path or scratch")
        if self.scratch and self.lora:
            raise ValueError("lora needs a model that has learnt something: name path instead of scratch")
        if self.lora and self.precision == "bf16-stochastic":
            raise ValueError(
                "precision bf16-stochastic is for training all weights; with lora take bf16, which keeps the "
                "model's own weights in bf16 and adapters, which are few, in fp32"
            )
        return self


class AttentionConfig(Section):
    """What stage 2 forgets, and when."""

    keep_last_blocks: Annotated[
        int, Field(ge=-1, description="Finished blocks that stay visible; 0 as in the paper, -1 drops none.")
    ] = 0
    mask_delimiters: Annotated[bool, Field(description="Whether a block's delimiters go with it.")] = True


class StageConfig(Section):
    """One stage of training. Defaults: arXiv 2604.09852, section 4."""

    epochs: Annotated[float, Field(gt=0)] = 5.0
    max_steps: Annotated[int | None, Field(ge=1, description="Steps instead of epochs.")] = None
    learning_rate: Annotated[float, Field(gt=0)] = 8e-5
    schedule: Annotated[
        Literal["cosine", "linear", "warmup_stable_decay"],
        Field(description="Of the learning rate; warmup_stable_decay falls in the last half of the steps."),
    ] = "cosine"
    adam_beta2: Annotated[float, Field(gt=0, lt=1, description="Memory of AdamW's second moment.")] = 0.999
    warmup: Annotated[float, Field(ge=0, lt=1, description="Share of the steps.")] = 0.05
    batch: Annotated[int, Field(ge=1, description="Packs of max_tokens in a step, over all devices.")] = 32
    packs_at_once: Annotated[int, Field(ge=1, description="Packs that a device computes at once.")] = 1
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    evaluations: Annotated[
        int, Field(ge=1, description="Times that held-out loss and format are measured, the last at the end.")
    ] = 5
    curriculum: Annotated[
        Literal["all", "last"],
        Field(description="Sizes of a register machine that are learnt: all in turn, or the last alone."),
    ] = "all"
    goal: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Share of right responses to the check's problems at which the stage ends before its "
            "last step; where it is not reached by then, the run fails. null: all steps are done.",
        ),
    ] = None
    full_attention_share: Annotated[
        float, Field(ge=0, le=1, description="Share of the packs that forget nothing; for stage 2.")
    ] = 0.0
    restart_share: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of the packs whose mementos do not see their blocks, so that to read a "
            "memento's words alone is learnt, too; for stage 2.",
        ),
    ] = 0.0


class CheckConfig(Section):
    """What is generated from held-out problems, to choose a checkpoint and to say how good it is."""

    problems: Annotated[
        int, Field(ge=0, description="Held-out problems at the end; 0 generates nothing.")
    ] = 64
    problems_between: Annotated[int, Field(ge=0, description="Held-out problems at each evaluation.")] = 16
    new_tokens: Annotated[int, Field(ge=1, description="Most tokens of a response.")] = 4096
    batch: Annotated[int, Field(ge=1, description="Problems at once.")] = 16


class DevicesConfig(Section):
    """Several GPUs of this machine, one process each, started by `accelerate launch`."""

    count: Annotated[int, Field(ge=2, description="How many.")]
    accelerate: Annotated[
        str,
        Field(
            description="Config file of accelerate: fsdp2.yaml or deepspeed-zero3.yaml, which come along, "
            "or the path of another one."
        ),
    ] = "fsdp2.yaml"


class SftConfig(Section):
    """Everything a training run depends on."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the model.")]
    data: DataConfig
    model: ModelConfig
    attention: AttentionConfig = AttentionConfig()
    full: Annotated[StageConfig | None, Field(description="Stage 1; null skips it.")] = StageConfig()
    memento: Annotated[StageConfig | None, Field(description="Stage 2; null skips it.")] = StageConfig()
    check: CheckConfig = CheckConfig()
    devices: Annotated[
        DevicesConfig | None, Field(description="null trains in one process, on one GPU or none.")
    ] = None
    seed: int = 0
    push_to: Annotated[
        str | None, Field(description="Model on the Hub that the result goes to, organisation/name.")
    ] = None
    private: bool = False
    license: Annotated[str | None, Field(description="Licence of the model, as on the Hub.")] = None

    @model_validator(mode="after")
    def _sizes_are_of_a_curriculum(self) -> Self:
        lasts = [stage for stage in (self.full, self.memento) if stage and stage.curriculum == "last"]
        if lasts and self.data.register_machine is None:
            raise ValueError("curriculum: last is for register machines; other rows have no sizes")
        return self

    @model_validator(mode="after")
    def _goals_can_be_seen(self) -> Self:
        if not self.check.problems_between and any(
            stage and stage.goal for stage in (self.full, self.memento)
        ):
            raise ValueError(
                "a stage has a goal, and check.problems_between is 0: nothing would tell when it is reached"
            )
        return self

    @model_validator(mode="after")
    def _something_to_train(self) -> Self:
        if self.full is None and self.memento is None:
            raise ValueError("full and memento are both null: nothing would be trained")
        if self.full and (self.full.full_attention_share or self.full.restart_share):
            raise ValueError(
                "full.full_attention_share, full.restart_share: stage 1 has full attention everywhere"
            )
        if self.memento and self.memento.full_attention_share + self.memento.restart_share > 1:
            raise ValueError("memento: full_attention_share and restart_share are more than 1 together")
        if self.memento and self.memento.restart_share and self.attention.keep_last_blocks:
            raise ValueError(
                "memento.restart_share drops blocks before their mementos, which attention.keep_last_blocks "
                f"{self.attention.keep_last_blocks} forbids: leave one of them out"
            )
        return self
