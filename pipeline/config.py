"""One validated, frozen description of a build: YAML in, digest out."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A part of the config: frozen, and no key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceConfig(Section):
    """Where the traces come from."""

    paths: Annotated[
        tuple[str, ...],
        Field(
            description="Parquet or JSONL files, folders or globs; hf://datasets/… for the Hub, "
            "shipped://sample/traces.jsonl for the sample that comes along."
        ),
    ] = ()
    revision: Annotated[
        str | None,
        Field(description="Revision (commit, tag or branch) that hf:// paths are read at."),
    ] = None
    splits: Annotated[
        tuple[str, ...] | None,
        Field(description="Of files whose names name a split, those of these, e.g. [train]; null takes all."),
    ] = None
    layout: Annotated[
        Literal["auto", "conversations", "messages", "problem_response"],
        Field(description="How a row holds its trace; auto looks at the columns."),
    ] = "auto"
    columns: Annotated[
        dict[
            Literal[
                "conversations",
                "messages",
                "problem",
                "response",
                "reasoning",
                "answer",
                "domain",
                "source",
                "difficulty",
                "verified",
            ],
            str,
        ],
        Field(description="Own column names, e.g. {problem: task, response: text}; a list has several."),
    ] = {}
    think: Annotated[
        tuple[Annotated[str, Field(min_length=1)], Annotated[str, Field(min_length=1)]] | None,
        Field(description="Marks around the reasoning, [start, end]; null finds those that are known."),
    ] = None
    name: Annotated[
        str | None,
        Field(description="Name for `source_datasets` of the card, e.g. open-thoughts/OpenThoughts3."),
    ] = None


class SelectConfig(Section):
    """Which traces are taken."""

    languages: Annotated[
        Literal["english", "any"],
        Field(description="english rejects reasoning with non-Latin script or without English words."),
    ] = "english"
    min_tokens: Annotated[int, Field(ge=0, description="Shortest reasoning, in tokens.")] = 0
    max_tokens: Annotated[
        int | None, Field(ge=1, description="Longest reasoning, in tokens; null for no bound.")
    ] = 131_072
    max_looped: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="Largest part of a reasoning that may be a loop: 200 characters that come "
            "five times within 12,000; null takes all.",
        ),
    ] = 0.2
    decontaminate: Annotated[
        tuple[str, ...],
        Field(description="Benchmark files (Parquet, JSON lines, JSON, CSV) whose problems are left out."),
    ] = ()
    decontaminate_words: Annotated[
        int, Field(ge=6, description="Words in a row that a problem may not share with one of them.")
    ] = 13
    near_duplicates: Annotated[
        float | None,
        Field(
            ge=0.6,
            le=1,
            description="Leave out problems that share this part of their word triples with an earlier one.",
        ),
    ] = None
    answers_per_problem: Annotated[
        int | None, Field(ge=1, description="Traces kept per problem; null keeps all.")
    ] = None
    mix: Annotated[
        dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]],
        Field(description="Shares by domain, e.g. {math: 0.54, science: 0.27, code: 0.19}."),
    ] = {}
    mix_by: Annotated[
        Literal["domain", "source"], Field(description="The column that the shares of mix are of.")
    ] = "domain"
    limit: Annotated[int | None, Field(ge=1, description="Most traces taken; null for all.")] = None
    seed: Annotated[int, Field(description="Seed of the choice where mix or limit leave some out.")] = 0

    @model_validator(mode="after")
    def _some_length_is_possible(self) -> Self:
        if self.max_tokens is not None and self.max_tokens < self.min_tokens:
            raise ValueError(f"max_tokens ({self.max_tokens}) is below min_tokens ({self.min_tokens})")
        return self


class SplitConfig(Section):
    """How reasoning is cut into sentences and counted."""

    tokenizer: Annotated[
        Literal["cl100k_base", "o200k_base"],
        Field(description="tiktoken vocabulary that every token count of the data uses."),
    ] = "cl100k_base"
    max_sentence_tokens: Annotated[
        # The paper's blocks have 1,150 tokens in the median; of 25,911 real sentences 2 are longer.
        int,
        Field(
            ge=50,
            description="Longest sentence, in tokens; code, tables, formulas, data over it are cut at lines, "
            "rows or commas.",
        ),
    ] = 1_000


class ScoreConfig(Section):
    """How boundaries are scored."""

    detector: Annotated[
        Literal["cues", "llm", "hybrid"],
        Field(description="Rules, the model, or the rules where they are sure and the model elsewhere."),
    ] = "hybrid"
    context_tokens: Annotated[
        int, Field(ge=64, description="Most tokens of reasoning before the boundary that the model sees.")
    ] = 16_384
    form: Annotated[
        Literal["window", "prefill"],
        Field(description="Questions about boundaries, or one prompt per trace that is only read (vLLM)."),
    ] = "window"
    window: Annotated[
        int, Field(ge=1, le=16, description="Boundaries per question; 1 asks for each alone, at more cost.")
    ] = 7


class PartitionConfig(Section):
    """How blocks are cut."""

    min_tokens: Annotated[int, Field(ge=1, description="Smallest block, in tokens.")] = 200
    max_tokens: Annotated[
        int | None, Field(ge=1, description="Largest block, in tokens; null for no bound.")
    ] = None
    weight: Annotated[
        float,
        Field(
            ge=0, allow_inf_nan=False, description="Weight of the spread of block sizes (the paper's lambda)."
        ),
    ] = 0.5

    @model_validator(mode="after")
    def _bounds_do_not_cross(self) -> "PartitionConfig":
        if self.max_tokens is not None and self.max_tokens < self.min_tokens:
            raise ValueError(f"max_tokens {self.max_tokens} is below min_tokens {self.min_tokens}")
        return self


class JudgesConfig(Section):
    """How many verdicts a memento gets, and how they become one."""

    number: Annotated[
        int, Field(ge=1, le=9, description="Verdicts on each memento, each asked for independently.")
    ] = 1
    combine: Annotated[
        Literal["mean", "minimum"],
        Field(description="Each criterion's points: the verdicts' mean (halves down), or the least."),
    ] = "mean"
    temperature: Annotated[
        float, Field(gt=0, le=2, description="Sampling of the verdicts after the first, which has none.")
    ] = 0.7


class MementosConfig(Section):
    """How blocks become mementos."""

    context: Annotated[
        Literal["trace", "mementos", "block"],
        Field(description="What the model sees before a block: the trace, earlier mementos, nothing."),
    ] = "trace"
    context_tokens: Annotated[
        int, Field(ge=0, description="Most tokens of that context; the latest are kept.")
    ] = 16_384
    threshold: Annotated[int, Field(ge=0, le=10, description="Judge's points that pass.")] = 8
    max_rounds: Annotated[int, Field(ge=1, le=8, description="Rounds of compress or refine, then judge.")] = 2
    max_tokens: Annotated[int, Field(ge=16, description="Longest memento the model may write.")] = 512
    temperature: Annotated[float, Field(ge=0, le=2, description="Sampling of mementos.")] = 0.3
    judges: JudgesConfig = JudgesConfig()


class EngineConfig(Section):
    """The vLLM server that the pipeline starts where no endpoint is named."""

    start_deadline_seconds: Annotated[int, Field(ge=1, description="Longest wait for a healthy server.")] = (
        900
    )
    max_restarts: Annotated[int, Field(ge=0, description="Times a dead server is started again.")] = 5
    arguments: Annotated[
        tuple[str, ...], Field(description="More arguments for vLLM, e.g. [--tensor-parallel-size, '4'].")
    ] = ()


class SamplingConfig(Section):
    """How tokens are chosen besides the temperature; by default from all of them, as they come.

    vLLM gets all of it, since it would take what is not said from the model's folder. Other endpoints get
    what differs from these defaults: not all know every field.
    """

    top_p: Annotated[float, Field(gt=0, le=1, description="Likeliest tokens of this total; 1 is all.")] = 1.0
    top_k: Annotated[int, Field(ge=0, description="So many of the likeliest tokens; 0 is all.")] = 0
    min_p: Annotated[
        float, Field(ge=0, le=1, description="Tokens at least this share as likely as the likeliest.")
    ] = 0.0
    repetition_penalty: Annotated[
        float, Field(gt=0, le=2, description="Over 1: tokens of prompt and reply are less likely again.")
    ] = 1.0
    presence_penalty: Annotated[
        float, Field(ge=-2, le=2, description="Taken from tokens that are in the reply already.")
    ] = 0.0
    frequency_penalty: Annotated[
        float, Field(ge=-2, le=2, description="Taken from tokens for each time they are in the reply.")
    ] = 0.0


class LlmConfig(Section):
    """The model, and how it is asked."""

    model: Annotated[
        str, Field(description="Name the endpoints serve, a Hub model or a folder; bundled: SmolLM2-135M.")
    ] = "bundled"
    endpoints: Annotated[
        tuple[Annotated[str, Field(pattern=r"^https?://[^\s@]+$")], ...],
        Field(description="OpenAI-compatible base URLs ending in /v1; empty starts a vLLM server."),
    ] = ()
    api_key_env: Annotated[
        # A key itself, which many write here by mistake, would end up in every record of the run.
        str,
        Field(
            pattern=r"^[A-Z_][A-Z0-9_]*$",
            description="Name of the environment variable, in capitals, that holds the endpoints' key.",
        ),
    ] = "OPENAI_API_KEY"
    max_in_flight: Annotated[
        int,
        Field(
            ge=1, description="Most requests open at once, over all shards; fewer where replies come late."
        ),
    ] = 64
    kv_cache_tokens: Annotated[
        int | None,
        Field(ge=1, description="Tokens that each endpoint's KV cache holds; null asks vLLM."),
    ] = None
    kv_cache_share: Annotated[
        float,
        Field(gt=0, le=1, description="Share of it for the traces at work; the rest is for their questions."),
    ] = 0.5
    constraints: Annotated[
        Literal["auto", "structured_outputs", "response_format", "none"],
        Field(description="How replies are constrained; auto asks the endpoint what it is."),
    ] = "auto"
    context_window: Annotated[
        int | None, Field(ge=256, description="Tokens the model can see; null asks the endpoint.")
    ] = None
    request_timeout_seconds: Annotated[
        float,
        Field(gt=0, description="Longest wait for one reply since the endpoint last showed that it works."),
    ] = 600
    deadline_seconds: Annotated[
        float, Field(gt=0, description="How long transport errors are retried before the trace fails.")
    ] = 1800
    max_attempts: Annotated[int, Field(ge=1, description="Times an unusable reply is asked again.")] = 3
    drop_thinking: Annotated[
        bool,
        Field(
            description="Whether thinking in front of a reply, up to </think>, is dropped; else the reply is "
            "asked again. It is paid for either way."
        ),
    ] = True
    seed: Annotated[int, Field(description="Seed that every request's own seed is made from.")] = 0
    sampling: SamplingConfig = SamplingConfig()
    extra_body: Annotated[
        dict[str, Any],
        Field(description="More fields of every request, e.g. chat_template_kwargs; the card shows them."),
    ] = {}
    price_per_million_prompt_tokens: Annotated[
        float | None, Field(ge=0, description="Price of a million prompt tokens, in any currency.")
    ] = None
    price_per_million_completion_tokens: Annotated[
        float | None, Field(ge=0, description="Price of a million generated tokens, in the same currency.")
    ] = None
    engine: EngineConfig = EngineConfig()

    @model_validator(mode="after")
    def _sampling_has_one_place(self) -> Self:
        if twice := sorted(self.extra_body.keys() & SamplingConfig.model_fields.keys()):
            raise ValueError(f"extra_body has {twice[0]}: set llm.sampling.{twice[0]} instead")
        return self


class PublishConfig(Section):
    """How the published folder is written, and where on the Hub it is released."""

    to: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
            description="Dataset on the Hub that a build is released to, organisation/name; null: none.",
        ),
    ] = None
    private: Annotated[bool, Field(description="Whether that dataset is private when it is created.")] = False
    tag: Annotated[
        str | None,
        Field(description="Tag of the release, as v1; auto for the next of v1, v2, …; null: none."),
    ] = None

    license: Annotated[
        str | None, Field(description="Licence of the published data, as on the Hub; null states none.")
    ] = None
    pretty_name: Annotated[str, Field(description="Title of the card.")] = "Mementos"
    language: Annotated[
        tuple[str, ...] | None,
        Field(description="Languages of the data (ISO 639-1); null names those that 1 % of the rows are in."),
    ] = None
    shard_bytes: Annotated[int, Field(ge=1_000_000, description="Largest published file, in bytes.")] = (
        500_000_000
    )
    validation: Annotated[
        float, Field(ge=0, le=0.5, description="Share of the problems whose rows are the split `validation`.")
    ] = 0.0
    test: Annotated[
        float, Field(ge=0, le=0.5, description="Share of the problems whose rows are the split `test`.")
    ] = 0.0
    min_score: Annotated[
        int,
        Field(
            ge=0,
            le=10,
            description="Fewest points of 10 that the judge gave any memento of a published trace, in the "
            "round that was kept; 0 leaves none out.",
        ),
    ] = 0
    only_passed: Annotated[
        bool,
        Field(
            description="Whether only traces are published whose mementos all passed: mementos.threshold "
            "points or more, and no finding of the checks but notes."
        ),
    ] = False
    sufficiency: Annotated[
        str | None,
        Field(
            description="File of `openmementos evaluate MODEL --dataset RUN`, which says whose mementos are "
            "enough for the answer; it becomes the column `sufficient` of `audit`."
        ),
    ] = None
    only_sufficient: Annotated[
        bool, Field(description="Whether only traces are published of which that file says so.")
    ] = False
    max_block_tokens: Annotated[
        int | None,
        Field(
            ge=1,
            description="Most tokens of any block of a published trace; null leaves none out. "
            "(partition.max_tokens is kept wherever sentences allow.)",
        ),
    ] = None
    row_group_bytes: Annotated[
        # Content-defined chunks survive an insertion only inside large row groups: 82 % of the bytes at 8 MB,
        # 32 % at 2 MB, 6 % at 100 KB.
        int,
        Field(ge=8_000_000, description="Largest row group, in uncompressed bytes."),
    ] = 100_000_000

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing to train on")
        if self.only_sufficient and self.sufficiency is None:
            raise ValueError(
                "only_sufficient needs sufficiency, the file of `openmementos evaluate MODEL --dataset RUN`"
            )
        return self


class ReportConfig(Section):
    """The pages that a build ends with."""

    max_traces: Annotated[
        int,
        Field(ge=1, description="Traces with a page of their own, evenly chosen where there are more."),
    ] = 10_000


class BuildConfig(Section):
    """Everything a build depends on."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the dataset.")]
    source: SourceConfig = SourceConfig()
    select: SelectConfig = SelectConfig()
    split: SplitConfig = SplitConfig()
    score: ScoreConfig = ScoreConfig()
    partition: PartitionConfig = PartitionConfig()
    mementos: MementosConfig = MementosConfig()
    llm: LlmConfig = LlmConfig()
    publish: PublishConfig = PublishConfig()
    report: ReportConfig = ReportConfig()
    traces_per_shard: Annotated[int, Field(ge=1, description="Traces in one unit of work.")] = 200
    shards_at_once: Annotated[int, Field(ge=1, description="Shards that are worked on at once.")] = 8
    max_failure_rate: Annotated[
        float,
        Field(ge=0, le=1, description="Share of lost traces that stops a run, from 20 on; 1 never stops."),
    ] = 0.5
