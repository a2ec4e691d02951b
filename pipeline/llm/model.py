"""The interface to a language model: requests, replies, and five kinds of error."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import BaseModel

from pipeline.llm.deviations import Deviation


@dataclass(frozen=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Choice:
    """The reply is exactly one of `options`; each option starts with another token."""

    options: tuple[str, ...]


@dataclass(frozen=True)
class Choices:
    """The reply is one of `options` for every label, in their order: "A2 B0 C1"."""

    labels: tuple[str, ...]
    options: tuple[str, ...]


@dataclass(frozen=True)
class JsonReply:
    """The reply is one JSON object that `schema` accepts."""

    schema: type[BaseModel]


@dataclass(frozen=True)
class Text:
    """The reply is plain text: complete, not empty, not repeating itself, none of `forbidden` in it."""

    forbidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Uncertainty:
    """No reply is wanted, but how unsure the model is of what follows at places of the last message.

    text: that message; places: offsets in its characters, ascending, each before its end.
    """

    text: str
    places: tuple[int, ...]


@dataclass(frozen=True)
class FreeText:
    """Whatever the model writes is the reply: cut at max_tokens, repeating itself, refusing, empty.

    Thinking that the endpoint gives beside the text stands before it, between <think> and </think>. Only what
    is no answer of a model is asked again, word for word as before: an engine's own failure.
    """


Constraint = Choice | Choices | JsonReply | Text | Uncertainty | FreeText


@dataclass(frozen=True)
class Request:
    """One question to the model.

    purpose groups the counters ("score", "compress", "judge", "refine"); label is what an error message
    names ("trace 1f2e…, block 3, round 1"); home: the endpoint to ask while it answers, since its cache may
    have the prompt's beginning. None of these is part of what identifies the reply on disk.

    max_tokens, temperature: None says nothing of it, so that the endpoint decides. sampling: told instead of
    the config's, names as there; what is not in it the endpoint decides.
    """

    messages: tuple[Message, ...]
    constraint: Constraint
    max_tokens: int | None
    temperature: float | None
    seed: int
    purpose: str
    label: str
    home: str | None = None
    sampling: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Usage:
    """Tokens and requests, of one reply or of many added up. prompt_tokens counts cached_tokens too.

    paid_before_…: tokens that earlier runs used for replies that this one read from disk or continued.
    """

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    retries: int = 0
    invalid_replies: int = 0
    replies_from_disk: int = 0
    paid_before_prompt_tokens: int = 0
    paid_before_cached_tokens: int = 0
    paid_before_completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        names = self.__dataclass_fields__
        return Usage(**{n: getattr(self, n) + getattr(other, n) for n in names})

    def as_paid_before(self) -> "Usage":
        """The same tokens as a later run counts them."""
        return Usage(
            paid_before_prompt_tokens=self.prompt_tokens + self.paid_before_prompt_tokens,
            paid_before_cached_tokens=self.cached_tokens + self.paid_before_cached_tokens,
            paid_before_completion_tokens=self.completion_tokens + self.paid_before_completion_tokens,
        )


@dataclass(frozen=True)
class Reply:
    """A reply that satisfies its request's constraint.

    probabilities: for a Choice, the probability of each option at the first token, renormalised over the
    options; for Choices, of each option under its label ("A2"); None where the endpoint gives no logprobs.
    value: for a JsonReply, the validated object. uncertainties: for Uncertainty, nats at each place. Of a
    FreeText, ended: whether the model has ended it itself; unknown_end: the endpoint's word for its end,
    where it is none of those that are known; used: the tokens of this answer alone, without those of attempts
    before it. deviations: what of the reply or its request was not as asked for, and taken all the same.
    """

    text: str
    model: str
    attempts: int
    usage: Usage
    probabilities: dict[str, float] | None = None
    value: BaseModel | None = None
    uncertainties: list[float] | None = None
    ended: bool = True
    unknown_end: str = ""
    used: Usage = Usage()
    deviations: tuple[Deviation, ...] = ()


class ModelError(Exception):
    """A request that got no usable reply."""


@dataclass(eq=False)
class ReplyError(ModelError):
    """Every attempt was answered, and no answer was usable."""

    label: str
    reason: str
    replies: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.label}: {self.reason} in each of {len(self.replies)} replies"


@dataclass(eq=False)
class ContextTooLong(ModelError):
    """The prompt and its `max_tokens` do not fit the model's window; a shorter prompt may."""

    label: str
    detail: str

    def __str__(self) -> str:
        return f"{self.label}: longer than the model's context window ({self.detail})"


@dataclass(eq=False)
class RequestRefused(ModelError):
    """The endpoint refuses this one request; others may be answered."""

    label: str
    detail: str

    def __str__(self) -> str:
        remedy = "where all are, check llm.extra_body, llm.constraints and score.form against what it takes"
        return f"{self.label}: refused by {self.detail}; {remedy}"


@dataclass(eq=False)
class EndpointUnavailable(ModelError):
    """No endpoint answered before the deadline; the trace fails and the next run tries it again."""

    label: str
    detail: str
    remedy: str = "see that a server runs there, or correct llm.endpoints"

    def __str__(self) -> str:
        return f"{self.label}: no endpoint answered in time ({self.detail})\n  {self.remedy}"


@dataclass(eq=False)
class EndpointRefused(ModelError):
    """The endpoint cannot answer (wrong key, wrong model, no credit): the run must stop."""

    detail: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.detail}\n  {self.remedy}"


class Model(Protocol):
    """Anything that answers requests; the stages see no more of it than this."""

    async def ask(self, request: Request) -> Reply:
        """A reply that satisfies `request.constraint`. Raises a ModelError where there is none."""
        ...
