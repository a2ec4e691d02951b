"""Classifies the errors of an endpoint: retry (and after how long), retry without a field, or give up."""

import math
import re
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import aiohttp

from pipeline.llm.http_json import PageError, StatusError
from pipeline.llm.model import ContextTooLong, EndpointRefused, RequestRefused

# What is sent as the key where none is set: servers that want none take any.
NO_KEY = "none"
TRANSIENT_STATUS = {408, 409, 425, 429}
# How servers name the window that a prompt does not fit: OpenAI, vLLM, SGLang, llama.cpp, TGI, Ollama,
# TensorRT, LM Studio, Anthropic, Mistral, Google, Cohere, xAI, Zhipu, Moonshot, Alibaba, Bedrock.
WINDOW = re.compile(
    r"context_length_exceeded|exceed_context_size|\bcontext[ _-]?(length|window|size|limit)"
    r"|max_(model|seq(uence)?)_len|\bn(um)?_ctx\b"
    r"|max(imum)?( allowed)? ((model|sequence|prompt|input) )?length"
    r"|maximum number of (input )?tokens|range of input length|model token limit"
    r"|(prompt|inputs?)( length)? (is )?too long|too many ((input|prompt) )?tokens|input tokens exceeded"
    r"|reduce the length of (the|your) (messages|prompt|input)|`inputs` (tokens \+|must have less)",
    re.IGNORECASE,
)
EXCEEDED = re.compile(
    r"exceed|too (long|large|big|many)|(long|great|larg)er than|reduce the length", re.IGNORECASE
)
# Groq and OpenAI of a request that alone is more than a minute's tokens: no waiting makes it fit.
MORE_THAN_A_MINUTE = re.compile(
    r"request too large for|limit:? (?P<limit>[\d,]+).*requested:? (?P<requested>[\d,]+)", re.IGNORECASE
)
UNSUPPORTED = re.compile(
    r"unsupported|not supported|does not support|not allowed|unknown|unrecognized|invalid schema|unavailable"
    r"|extra (inputs|fields)|not permitted",
    re.IGNORECASE,
)
# Google's way to say 401 is a 400.
WRONG_KEY = re.compile(
    r"api.?key (is )?(not valid|invalid|expired)|(invalid|incorrect) api.?key", re.IGNORECASE
)
# The system prompt is then put before the user's text; no field of a request, and dropped like one.
SYSTEM = "system"
SYSTEM_ROLE = re.compile(
    r"developer instruction is not enabled"
    r"|\bsystem.? (role|message|prompt|instruction)s?\b.{0,40}(not|n't|un)"
    r"|(not|n't) (support|allow|accept|have|know)\w*.{0,20}(['\"]system['\"]|\bsystem (role|message|prompt))"
    r"|role.{0,5}['\"]system['\"].{0,30}(not|n't|un)|roles must alternate|only user and assistant roles",
    re.IGNORECASE,
)
# What a request can do without; max_tokens is then sent under its newer name.
OPTIONAL_FIELDS = (
    "top_logprobs",
    "logprobs",
    "seed",
    "temperature",
    "structured_outputs",
    "response_format",
    "max_tokens",
)


@dataclass(frozen=True)
class Transient:
    """Worth another try. wait_seconds: what the endpoint asks for, None where it asks for none.

    refused_connection: nobody is there. rate_limited: the endpoint is well, and asked too often. timed_out:
    there was no reply in time.
    """

    detail: str
    wait_seconds: float | None = None
    refused_connection: bool = False
    rate_limited: bool = False
    timed_out: bool = False


@dataclass(frozen=True)
class Unsupported:
    """The endpoint does not know this field of the request; ask again without it."""

    field: str

    def __str__(self) -> str:
        if self.field == SYSTEM:
            return "the model knows no system role: the system prompt is put before the user's text"
        other = ", but for max_completion_tokens" if self.field == "max_tokens" else ""
        return f"takes no {self.field}{other}: requests are sent without it"


EndpointFailure = Transient | Unsupported | ContextTooLong | RequestRefused | EndpointRefused


@dataclass(frozen=True)
class Attempt:
    """What the request was, for the messages. without: optional fields that were left out of it.

    has_answered: whether the endpoint has given completions before.
    """

    label: str
    endpoint: str
    model: str
    key_env: str
    key: str = field(repr=False)
    without: frozenset[str] = frozenset()
    has_answered: bool = False


def classified(error: Exception, asked: Attempt) -> EndpointFailure:
    """What to do about an exception of CALL_ERRORS. No message ever holds the key."""
    if isinstance(error, StatusError):
        return _of_status(error, asked)
    said = _scrubbed(str(error) or type(error).__name__, asked)
    # Of one that has worked it is a proxy's page, which passes.
    if isinstance(error, PageError) and not asked.has_answered:
        return _wrong_url(said, asked)
    nobody = isinstance(error, aiohttp.ClientConnectorError)
    if isinstance(error, TimeoutError) and not nobody:
        return Transient("no reply in time", timed_out=True)
    return Transient(said, refused_connection=nobody)


def _of_status(error: StatusError, asked: Attempt) -> EndpointFailure:
    status = error.status
    said = _scrubbed(error.said, asked)
    where = f"endpoint {asked.endpoint}"
    if status == 402 or "insufficient_quota" in said:
        return EndpointRefused(f"{where}: {said}", "the account has no credit left: top it up")
    if _is_too_long(status, said):
        return ContextTooLong(asked.label, said)
    if SYSTEM_ROLE.search(said) and status != 429 and SYSTEM not in asked.without:
        return Unsupported(SYSTEM)
    if status in (405, 501) and not asked.has_answered:
        return _wrong_url(f"takes no chat completions ({status}: {said})", asked)
    if status in TRANSIENT_STATUS or status >= 500:
        wait = _retry_after(error.retry_after)
        told = "" if wait is None else f", asks to wait {wait:.0f} s"
        return Transient(f"{status} {said}{told}", wait, rate_limited=status == 429)
    if status == 401 or (status == 400 and WRONG_KEY.search(said)):
        return EndpointRefused(
            f"{where} does not accept the key ({status}: {said})",
            f"put a valid key into the environment variable {asked.key_env}",
        )
    if status == 403:
        return EndpointRefused(
            f"{where} forbids {asked.model!r} to this key (403: {said})",
            f"use a key that may (environment variable {asked.key_env}), or another llm.model",
        )
    if status == 404:
        return EndpointRefused(
            f"{where} does not serve {asked.model!r} (404: {said})",
            "set llm.model to a name it serves, and check that the URL ends in /v1",
        )
    if UNSUPPORTED.search(said):
        for name in OPTIONAL_FIELDS:
            if re.search(rf"(?<![\w-]){name}(?![\w-])", said) and name not in asked.without:
                return Unsupported(name)
    return RequestRefused(asked.label, f"{where}: {status} {said}")


def _wrong_url(said: str, asked: Attempt) -> EndpointRefused:
    return EndpointRefused(
        f"endpoint {asked.endpoint} {said}",
        "is this the right URL? Base URLs of the OpenAI API mostly end in /v1, and are not those of a page",
    )


def _is_too_long(status: int, said: str) -> bool:
    """Whether an error means that a shorter prompt may fit, and the same one never will."""
    if status in (413, 429) and (found := MORE_THAN_A_MINUTE.search(said)):
        limit, requested = (int((found[name] or "0").replace(",", "")) for name in ("limit", "requested"))
        return requested > limit or not requested
    if status in (400, 413, 422):
        return WINDOW.search(said) is not None
    # A server that is in trouble may speak of its window, too.
    return status >= 500 and WINDOW.search(said) is not None and EXCEEDED.search(said) is not None


def _retry_after(header: str | None) -> float | None:
    """Seconds to wait, from a number of seconds or an HTTP date (RFC 9110, 10.2.3); None for none."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return seconds if 0 < seconds < math.inf else None


def _scrubbed(text: str, asked: Attempt) -> str:
    short = " ".join(text.split())[:500].encode(errors="backslashreplace").decode()
    return short if asked.key == NO_KEY or len(asked.key) < 4 else short.replace(asked.key, "…")
