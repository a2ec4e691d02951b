"""Request bodies and replies of the chat completions API; whether a reply satisfies its constraint."""

import functools
import re
import zlib
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from pipeline.llm.choice_replies import choice_shares, row_pattern, row_shares, row_text
from pipeline.llm.model import (
    Choice,
    Choices,
    Constraint,
    FreeText,
    JsonReply,
    Request,
    Text,
    Uncertainty,
    Usage,
)
from pipeline.llm.uncertainty import TOP, uncertainties
from schemas.openmementos import THINK_END, THINK_START

JsonObject = dict[str, Any]
Style = Literal["structured_outputs", "response_format", "none"]

# Greedy decoding would give an unusable reply again, word for word.
TEMPERATURE_OF_SECOND_ATTEMPT = 0.3
# OpenAI refuses more than 20; vLLM's own limit is the same unless its server raises it.
MOST_TOP_LOGPROBS = 20
# Prose and formulas compress to 0.3 or more of their size; a passage over and over goes below this.
REPETITIVE_RATIO = 0.12
REPETITIVE_FROM_CHARACTERS = 400
SAME_LINE_TIMES = 4
REFUSAL = re.compile(
    r"(I'm|I am) (very )?sorry,? (but )?I|I (cannot|can't|can not|won't) (assist|help|provide|comply)"
    r"|I'm (unable|not able) to (assist|help|provide)|As an AI\b"
)
# How providers name the end of a reply; compared without capitals and with "_" for "-" and " ". Whatever is
# not here ends a reply, too ("eos" of Together, "end_turn", null …): who invents a word means no failure by it.
CUT_ENDS = frozenset(
    ("length", "max_tokens", "max_length", "max_new_tokens", "max_output_tokens", "max_completion_tokens")
    + ("model_length", "context_length", "token_limit", "error_limit", "incomplete")
)
WITHHELD_ENDS = frozenset(
    ("content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content", "spii")
    + ("sensitive", "guardrail_intervened", "refusal", "error_toxic")
)
CALLING_ENDS = frozenset(
    (
        "tool_calls",
        "tool_call",
        "tool_use",
        "function_call",
        "malformed_function_call",
        "unexpected_tool_call",
    )
)
# An engine that ends a reply so has failed at it; the model has not.
FAILED_ENDS = frozenset(
    ("abort", "aborted", "error", "cancelled", "canceled", "user_cancel", "network_error", "timeout")
    + ("insufficient_system_resource",)
)
NO_ENDS = CUT_ENDS | WITHHELD_ENDS | CALLING_ENDS | FAILED_ENDS
KNOWN_ENDS = NO_ENDS | frozenset(
    ("stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_token", "end", "end_of_turn")
    + ("end_of_text", "complete", "completed", "finish", "finished")
)
_SHOWN_END = 60
FENCED = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)


class UnusableReply(Exception):
    """A reply that does not satisfy its constraint; the message says why, `text` is what came."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason)
        # JSON may carry one half of a surrogate pair; no file takes it.
        self.text = text.encode(errors="backslashreplace").decode()


@dataclass(frozen=True)
class ParsedReply:
    """What a usable reply says; ended: False of a FreeText that was cut.

    unknown_end: how it ended, where that is no word that is known to mean one or the other.
    """

    text: str
    probabilities: dict[str, float] | None = None
    value: BaseModel | None = None
    uncertainties: list[float] | None = None
    ended: bool = True
    unknown_end: str = ""


def request_body(
    request: Request, attempt: int, model: str, style: Style, sampling: JsonObject, extra_body: JsonObject
) -> JsonObject:
    """The JSON body of a chat completion. attempt counts from 0 and changes seed and temperature.

    Not those of a FreeText: that its first attempt came to nothing does not lie with what the model said.
    """
    temperature, seed = request.temperature, request.seed
    if attempt > 0 and not isinstance(request.constraint, FreeText):
        temperature = max(temperature or 0.0, TEMPERATURE_OF_SECOND_ATTEMPT)
        seed += attempt
    told = {"max_tokens": request.max_tokens, "temperature": temperature}
    return {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        **{name: value for name, value in told.items() if value is not None},
        "seed": seed,
        **sampling,
        **_constrained(request.constraint, style),
        **extra_body,
    }


def identity(constraint: Constraint) -> JsonObject:
    """What of a constraint makes two requests the same one."""
    match constraint:
        case Choice(options):
            return {"choice": list(options)}
        case Choices(labels, options):
            return {"row": list(labels), "choice": list(options)}
        case JsonReply(schema):
            return {"json": _json_schema(schema)}
        case Text(forbidden):
            return {"forbidden": list(forbidden)}
        case Uncertainty(_, places):
            return {"places": list(places)}
        case FreeText():
            return {"free": True}


def usage(completion: JsonObject) -> Usage:
    """Tokens that an answered request cost."""
    return Usage(
        requests=1,
        prompt_tokens=_count(completion, "usage", "prompt_tokens"),
        cached_tokens=_count(completion, "usage", "prompt_tokens_details", "cached_tokens"),
        completion_tokens=_count(completion, "usage", "completion_tokens"),
    )


def parse_reply(request: Request, completion: JsonObject) -> ParsedReply:
    """What a chat completion says. Raises UnusableReply where that does not satisfy the request's constraint."""
    constraint = request.constraint
    if isinstance(constraint, Uncertainty):
        try:
            return ParsedReply("", uncertainties=uncertainties(constraint, completion))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise UnusableReply(f"an answer with {error}", str(completion.get("choices"))[:1000]) from None
    if isinstance(constraint, FreeText):
        return _free(completion, request.max_tokens)
    try:
        choice = completion["choices"][0]
        text = choice["message"]["content"] or ""
        end = _end(completion, request.max_tokens)
        refused = choice["message"].get("refusal")
        logprobs = choice.get("logprobs")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise UnusableReply("no chat completion", str(completion)[:1000]) from None
    if not isinstance(text, str):
        raise UnusableReply("content that is no text", str(text)[:1000])
    if refused:
        raise UnusableReply("a refusal", str(refused))
    # A choice may end at max_tokens (usually 1): its option is complete or fails the test anyway.
    if end in NO_ENDS and not isinstance(constraint, Choice):
        cut = "a reply cut at max_tokens" if end in CUT_ENDS else f"a reply ended by {end!r}"
        raise UnusableReply(cut, text)
    reading = validated(constraint, text)
    if isinstance(constraint, Choice):
        return ParsedReply(reading.text, choice_shares(constraint, logprobs))
    if isinstance(constraint, Choices):
        return ParsedReply(reading.text, row_shares(constraint, text, logprobs))
    return reading


def validated(constraint: Constraint, text: str) -> ParsedReply:
    """The text as its constraint reads it. Raises UnusableReply."""
    stripped = text.strip()
    if not _is_unicode(text):
        raise UnusableReply("half a surrogate pair", text)
    match constraint:
        case Choice(options):
            if stripped not in options:
                raise UnusableReply(f"a reply that is none of {', '.join(options)}", text)
            return ParsedReply(stripped)
        case Choices(labels, options):
            if (row := row_text(constraint, stripped)) is None:
                raise UnusableReply(f"a reply without one of {', '.join(options)} for each of {labels}", text)
            return ParsedReply(row)
        case JsonReply(schema):
            return ParsedReply(stripped, value=_parsed(schema, stripped))
        case Text(forbidden):
            if fault := _text_fault(stripped, forbidden):
                raise UnusableReply(fault, text)
            return ParsedReply(stripped)
        case Uncertainty():
            return ParsedReply(stripped)
        case FreeText():
            return ParsedReply(text)


def _end(completion: JsonObject, max_tokens: int | None) -> str:
    """How the first choice ended, as the words above; what is unknown and as long as allowed was cut there."""
    told = completion["choices"][0].get("finish_reason")
    end = re.sub(r"[\s-]+", "_", str(told).strip().casefold())[:_SHOWN_END]
    generated = _count(completion, "usage", "completion_tokens")
    is_as_long_as_allowed = max_tokens is not None and generated >= max_tokens
    return "length" if end not in KNOWN_ENDS and is_as_long_as_allowed else end


def _free(completion: JsonObject, max_tokens: int | None) -> ParsedReply:
    """Whatever a model answered. Raises UnusableReply where that is no answer of a model."""
    try:
        choice = completion["choices"][0]
        message, end = choice["message"], _end(completion, max_tokens)
        text = message.get("content") or message.get("refusal") or ""
        # vLLM calls it `reasoning`; others, and its older versions, `reasoning_content`.
        thought = message.get("reasoning") or message.get("reasoning_content") or ""
    except (KeyError, IndexError, TypeError, AttributeError):
        raise UnusableReply("no chat completion", str(completion)[:1000]) from None
    if not isinstance(text, str) or not isinstance(thought, str):
        raise UnusableReply("content that is no text", str(message)[:1000])
    ended = end not in NO_ENDS
    if thought:
        # Cut while it thought, it has not come to an end of that.
        text = f"{THINK_START}{thought}{THINK_END if text or ended else ''}{text}"
    # JSON may carry one half of a surrogate pair; no file takes it.
    text = text.encode(errors="backslashreplace").decode()
    if end in FAILED_ENDS:
        raise UnusableReply(f"a reply ended by {end!r}", text)
    return ParsedReply(text, ended=ended, unknown_end="" if end in KNOWN_ENDS else end)


def _count(told: Any, *path: str) -> int:
    """The number under a path of names; 0 where the endpoint told none."""
    for name in path:
        told = told.get(name) if isinstance(told, dict) else None
    return told if type(told) is int and told > 0 else 0


def _is_unicode(text: str) -> bool:
    # JSON may carry one half of a surrogate pair; no file and no hash takes it.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _constrained(constraint: Constraint, style: Style) -> JsonObject:
    match constraint:
        case Choice(options) | Choices(_, options):
            logprobs = {
                "logprobs": True,
                "top_logprobs": min(MOST_TOP_LOGPROBS, max(5, len(options))),
            }
            if style != "structured_outputs":
                return logprobs
            if isinstance(constraint, Choices):
                return logprobs | {"structured_outputs": {"regex": row_pattern(constraint)}}
            return logprobs | {"structured_outputs": {"choice": list(options)}}
        case Uncertainty():
            return {"prompt_logprobs": TOP, "return_token_ids": True}
        case FreeText() if style == "structured_outputs":
            # vLLM's own field, as that style is: without it the tokens of the format are left out.
            return {"skip_special_tokens": False}
        case JsonReply(schema) if style == "structured_outputs":
            return {"structured_outputs": {"json": _json_schema(schema)}}
        case JsonReply(schema) if style == "response_format":
            named = {"name": schema.__name__, "schema": _json_schema(schema), "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": named}}
    return {}


@functools.cache
def _json_schema(schema: type[BaseModel]) -> JsonObject:
    return schema.model_json_schema()


def _parsed(schema: type[BaseModel], text: str) -> BaseModel:
    fenced = FENCED.fullmatch(text)
    try:
        return schema.model_validate_json(fenced[1] if fenced else text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnusableReply(f"not a {schema.__name__} ({where}: {first['msg']})", text) from None


def _text_fault(text: str, forbidden: tuple[str, ...]) -> str | None:
    if not text:
        return "an empty reply"
    if REFUSAL.match(text):
        return "a refusal"
    if found := next((mark for mark in forbidden if mark in text), None):
        return f"a reply with {found!r} in it"
    if _repeats(text):
        return "one passage over and over"
    return None


def _repeats(text: str) -> bool:
    """True for the same line four times in a row, and for long text that compresses as loops do."""
    run, before = 0, ""
    for line in filter(None, (line.strip() for line in text.splitlines())):
        run = run + 1 if line == before else 1
        before = line
        if run >= SAME_LINE_TIMES:
            return True
    data = text.encode()
    long_enough = len(text) > REPETITIVE_FROM_CHARACTERS
    return long_enough and len(zlib.compress(data)) < REPETITIVE_RATIO * len(data)
