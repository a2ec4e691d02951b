"""Request bodies and replies of the chat completions API; whether a reply satisfies its constraint."""

import functools
import re
import zlib
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from pipeline.config import LlmConfig
from pipeline.llm.choice_replies import choice_shares, row_pattern, row_shares, row_text
from pipeline.llm.deviations import Deviation
from pipeline.llm.json_replies import read_object
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
# Of those that no text has; Parquet holds them, viewers and other tools do not show them or stop there.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
End = Literal["ended", "cut", "withheld", "calls", "failed", "unknown"]
# How providers name the end of a reply, without capitals and with "_" for "-" and " ". What is not here ends
# a reply, too (null, a word of somebody's own): nobody names a failure so.
ENDS: dict[End, str] = {
    "ended": r"stop|stop_(sequence|token)|eos(_token)?|end(_turn|_of_turn|_of_text)?|completed?|finish(ed)?",
    "cut": r"length|max_(length|((new|output|completion)_)?tokens)|(model|context)_length|token_limit"
    r"|error_limit|incomplete",
    "withheld": r"content_filter(ed)?|safety|recitation|blocklist|prohibited_content|spii|sensitive|refusal"
    r"|guardrail_intervened|error_toxic",
    "calls": r"tool_(calls?|use)|function_call|malformed_function_call|unexpected_tool_call",
    # An engine that ends a reply so has failed at it; the model has not.
    "failed": r"abort(ed)?|error|(user_)?cancel(l?ed)?|network_error|timeout|insufficient_system_resource",
}
_SHOWN_END = 60
# What models put behind their thinking, where no parser of the server takes it off.
THINKING_ENDS = (THINK_END, "</thinking>", "[/THINK]", "</seed:think>", "◁/think▷")
IN_REASONING = (
    "a reply in reasoning_content alone: start the server without its reasoning parser (vLLM: "
    "--reasoning-parser), or switch thinking off in llm.extra_body (chat_template_kwargs: {enable_thinking: "
    "false})"
)


class UnusableReply(Exception):
    """A reply that does not satisfy its constraint; the message says why, `text` is what came."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason)
        # JSON may carry one half of a surrogate pair; no file takes it.
        self.text = text.encode(errors="backslashreplace").decode()


@dataclass(frozen=True)
class ParsedReply:
    """What a usable reply says; ended: False of a FreeText that was cut.

    unknown_end: how it ended, where that is no word that is known to mean one or the other. deviations: what
    was not as asked for.
    """

    text: str
    probabilities: dict[str, float] | None = None
    value: BaseModel | None = None
    uncertainties: list[float] | None = None
    ended: bool = True
    unknown_end: str = ""
    deviations: tuple[Deviation, ...] = ()


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
    prompt = _count(completion, "usage", "prompt_tokens")
    return Usage(
        requests=1,
        prompt_tokens=prompt,
        cached_tokens=min(prompt, _count(completion, "usage", "prompt_tokens_details", "cached_tokens")),
        completion_tokens=_count(completion, "usage", "completion_tokens"),
    )


def parse_reply(request: Request, completion: JsonObject, config: LlmConfig) -> ParsedReply:
    """What a chat completion says. Raises UnusableReply where that does not satisfy the constraint."""
    constraint = request.constraint
    thinking_is_off = thinking_switched_off(config.extra_body)
    if isinstance(constraint, Uncertainty):
        try:
            return ParsedReply("", uncertainties=uncertainties(constraint, completion))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise UnusableReply(f"an answer with {error}", str(completion.get("choices"))[:1000]) from None
    if isinstance(constraint, FreeText):
        return _free(completion, request.max_tokens, thinking_is_off=thinking_is_off)
    try:
        choice = completion["choices"][0]
        text, thought = _text_and_thought(choice["message"])
        end, word = _end(completion, request.max_tokens)
        refused = choice["message"].get("refusal")
        logprobs = choice.get("logprobs")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise UnusableReply("no chat completion", str(completion)[:1000]) from None
    if not isinstance(text, str) or not isinstance(thought, str):
        raise UnusableReply("content that is no text", str(choice["message"])[:1000])
    if refused:
        raise UnusableReply("a refusal", str(refused))
    # A choice may end at max_tokens (usually 1): its option is complete or fails the test anyway.
    if end not in ("ended", "unknown") and not isinstance(constraint, Choice):
        cut = "a reply cut at max_tokens" if end == "cut" else f"a reply ended by {word!r}"
        if thought and not text:
            cut += ", all of it thinking (see llm.extra_body)"
        raise UnusableReply(cut, text or thought)
    deviations: tuple[Deviation, ...] = ()
    if thought and not text.strip():
        # A model that was told not to think has not: what the server's parser took for thinking is the reply.
        if not thinking_is_off:
            raise UnusableReply(IN_REASONING, thought)
        text, deviations = thought, (Deviation.FROM_REASONING,)
    reading = validated(constraint, text, drop_thinking=config.drop_thinking)
    reading = replace(reading, deviations=(*deviations, *reading.deviations))
    if isinstance(constraint, Choice):
        return replace(reading, probabilities=choice_shares(constraint, logprobs))
    if isinstance(constraint, Choices):
        return replace(reading, probabilities=row_shares(constraint, text, logprobs))
    return reading


def thinking_switched_off(extra_body: Any) -> bool:
    """Whether fields of a request tell the model not to think, in one of the ways that servers know."""
    if not isinstance(extra_body, dict):
        return False
    for name, told in extra_body.items():
        if name in ("enable_thinking", "thinking", "think", "reasoning"):
            inner = told if isinstance(told, dict) else {}
            if told is False or inner.get("enabled") is False or inner.get("type") == "disabled":
                return True
        if (name == "reasoning_effort" and told == "none") or thinking_switched_off(told):
            return True
    return False


def validated(constraint: Constraint, text: str, *, drop_thinking: bool) -> ParsedReply:
    """The text as its constraint reads it. Raises UnusableReply.

    drop_thinking: whether thinking in front of it, which ends with </think> or the like, may be there.
    """
    if not _is_unicode(text):
        raise UnusableReply("half a surrogate pair", text)
    behind = None if isinstance(constraint, FreeText) else _behind_thinking(text)
    if behind is None:
        return _validated(constraint, text)
    if not drop_thinking:
        raise UnusableReply("thinking in front of the reply, which llm.drop_thinking does not allow", text)
    reading = _validated(constraint, behind)
    return replace(reading, deviations=(Deviation.THINKING_DROPPED, *reading.deviations))


def _behind_thinking(text: str) -> str | None:
    """What stands behind the last end of thinking; None where there is none, or JSON has only quoted it."""
    if text.lstrip().startswith("{"):
        return None
    place, end = max((text.rfind(end), end) for end in THINKING_ENDS)
    return text[place + len(end) :] if place >= 0 else None


def _validated(constraint: Constraint, text: str) -> ParsedReply:
    stripped = text.strip()
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
            value, deviations = _parsed(schema, stripped)
            return ParsedReply(stripped, value=value, deviations=deviations)
        case Text(forbidden):
            if fault := _text_fault(stripped, forbidden):
                raise UnusableReply(fault, text)
            return ParsedReply(stripped)
        case Uncertainty():
            return ParsedReply(stripped)
        case FreeText():
            return ParsedReply(text)


def _end(completion: JsonObject, max_tokens: int | None) -> tuple[End, str]:
    """How the first choice ended, and the provider's word; what is unknown and as long as allowed was cut."""
    told = completion["choices"][0].get("finish_reason")
    word = re.sub(r"[\s-]+", "_", str(told).strip().casefold())[:_SHOWN_END]
    known = next((end for end, words in ENDS.items() if re.fullmatch(words, word)), None)
    is_as_long_as_allowed = (
        max_tokens is not None and _count(completion, "usage", "completion_tokens") >= max_tokens
    )
    return known or ("cut" if is_as_long_as_allowed else "unknown"), word


def _thought(message: JsonObject) -> Any:
    # vLLM calls it `reasoning`; others, and its older versions, `reasoning_content`.
    return message.get("reasoning") or message.get("reasoning_content") or ""


def _text_and_thought(message: JsonObject) -> tuple[Any, Any]:
    """What a message says and what was thought before, which Mistral gives as parts of its content.

    Raises KeyError, TypeError or AttributeError where a part is of another kind.
    """
    content, thought = message.get("content") or "", _thought(message)
    if not isinstance(content, list):
        return content, thought
    said = {"text": "", "thinking": ""}
    for part in content:
        inner = part[part["type"]]
        # A thought is text itself, or parts that are.
        said[part["type"]] += inner if isinstance(inner, str) else "".join(each["text"] for each in inner)
    return said["text"], thought or said["thinking"]


def _free(completion: JsonObject, max_tokens: int | None, *, thinking_is_off: bool) -> ParsedReply:
    """Whatever a model answered. Raises UnusableReply where that is no answer of a model."""
    try:
        choice = completion["choices"][0]
        message, (end, word) = choice["message"], _end(completion, max_tokens)
        text, thought = _text_and_thought(message)
        text = text or message.get("refusal") or ""
    except (KeyError, IndexError, TypeError, AttributeError):
        raise UnusableReply("no chat completion", str(completion)[:1000]) from None
    if not isinstance(text, str) or not isinstance(thought, str):
        raise UnusableReply("content that is no text", str(message)[:1000])
    ended = end in ("ended", "unknown")
    deviations: tuple[Deviation, ...] = ()
    if thought and not text and thinking_is_off:
        text, deviations = thought, (Deviation.FROM_REASONING,)
    elif thought:
        # Cut while it thought, it has not come to an end of that.
        text = f"{THINK_START}{thought}{THINK_END if text or ended else ''}{text}"
    # JSON may carry one half of a surrogate pair; no file takes it.
    text = text.encode(errors="backslashreplace").decode()
    if end == "failed":
        raise UnusableReply(f"a reply ended by {word!r}", text)
    unknown_end = word if end == "unknown" else ""
    return ParsedReply(text, ended=ended, unknown_end=unknown_end, deviations=deviations)


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


def _parsed(schema: type[BaseModel], text: str) -> tuple[BaseModel, tuple[Deviation, ...]]:
    try:
        value, mended = read_object(text, _json_schema(schema))
        return schema.model_validate(value), tuple(sorted(mended))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnusableReply(f"not a {schema.__name__} ({where}: {first['msg']})", text) from None
    except ValueError as error:
        raise UnusableReply(f"not a {schema.__name__} ({error})", text) from None


def _text_fault(text: str, forbidden: tuple[str, ...]) -> str | None:
    if not text:
        return "an empty reply"
    if control := CONTROL.search(text):
        return f"a reply with the control character {control[0]!r} in it"
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
