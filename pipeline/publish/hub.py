"""The Hub as publishing needs it: patient with a busy one, every refusal one clear line, no token shown."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import httpx2
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils._validators import validate_repo_id
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

P = ParamSpec("P")
T = TypeVar("T")
ATTEMPTS = 8
_BUSY = {429, 500, 502, 503, 504}
_MOST_SECONDS = 300.0
_QUERY = re.compile(r"\?\S+")


class HubError(Exception):
    """The Hub, or what is asked of it, is in the way of a release; the message says what to do."""


@dataclass(frozen=True)
class Hub:
    """One dataset repository of the Hub that HF_ENDPOINT names. `tell` gets a line when it has to wait."""

    repo: str
    tell: Callable[[str], None]
    api: HfApi = field(default_factory=HfApi)

    def __post_init__(self) -> None:
        try:
            validate_repo_id(self.repo)
            named = "/" in self.repo
        except HFValidationError:
            named = False
        if not named:
            raise HubError(
                f"{self.repo!r} cannot be the name of a dataset on the Hub: give organisation/name, as "
                "my-org/mementos (letters, digits and - _ . only, 96 at most)"
            )

    @property
    def url(self) -> str:
        return f"{self.api.endpoint}/datasets/{self.repo}"

    def call(self, what: str, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `do` with these arguments, asked again while the Hub is busy or away for a moment.

        what: the deed in words, as "create the repository". Raises HubError.
        """
        patiently = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=_seconds_to_wait,
            stop=stop_after_attempt(ATTEMPTS),
            before_sleep=lambda state: self.tell(_waiting(what, state)),
            reraise=True,
        )
        try:
            with _client_heard(self.tell):
                return patiently(do, *args, **kwargs)
        except Exception as error:
            known = _cause(error)
            if known is None:
                raise
            raise HubError(without_token(self._told(what, known))) from None

    def user(self) -> str:
        """Name of the token's owner. Raises HubError where there is no token or the Hub refuses it."""
        return str(self._owner()["name"])

    def writer(self) -> str:
        """The same. Raises HubError where the token may only read, too."""
        owner = self._owner()
        if owner.get("auth", {}).get("accessToken", {}).get("role") == "read":
            raise HubError("the Hub token may only read: make one with write permission and set HF_TOKEN")
        return str(owner["name"])

    def _owner(self) -> dict[str, Any]:
        token = get_token()
        if token is None:
            raise HubError("no Hub token: set HF_TOKEN, or log in with `hf auth login`")
        if not token.isascii():
            raise HubError("the Hub token has letters that no token has: set HF_TOKEN anew")
        owner: dict[str, Any] = self.call("ask who the token belongs to", self.api.whoami)
        return owner

    def _told(self, what: str, error: Exception) -> str:
        if not isinstance(error, HfHubHTTPError):
            return f"cannot {what}: {self.api.endpoint} is out of reach ({type(error).__name__}: {error})"
        status, said = error.response.status_code, error.server_message or "no reason given"
        if isinstance(error, RepositoryNotFoundError) and status != 401:
            return f"cannot {what}: there is no dataset {self.repo} that this token may see"
        if status == 401:
            return (
                f"cannot {what}: the Hub refuses the token ({said}); make a new one with write permission "
                "and set HF_TOKEN"
            )
        if status == 403:
            return (
                f"cannot {what}: the token may not write to {self.repo} ({said}); use one with write "
                "permission there, or name another repository with --to"
            )
        return f"cannot {what}: the Hub answered {status} ({said})"


def without_token(text: str) -> str:
    """The text with the Hub's token blotted out, wherever a server or library has put it."""
    token = get_token()
    return text.replace(token, "hf_…") if token else text


class _Telling(logging.Handler):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        # Addresses of uploads are signed in their query.
        line = _QUERY.sub("?…", " ".join(record.getMessage().split()))
        self._tell(without_token(f"the Hub's client: {line}"))


@contextmanager
def _client_heard(tell: Callable[[str], None]) -> Iterator[None]:
    """`tell` gets what the client would print: it retries some requests by itself and says so."""
    logger = logging.getLogger("huggingface_hub")
    handlers, logger.handlers = logger.handlers, [_Telling(tell)]
    try:
        yield
    finally:
        logger.handlers = handlers


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _cause(error: BaseException) -> HfHubHTTPError | httpx2.HTTPError | None:
    """The Hub's answer or the network's trouble behind an error: uploads wrap them in others."""
    return next((e for e in _causes(error) if isinstance(e, HfHubHTTPError | httpx2.HTTPError)), None)


def _may_pass(error: BaseException) -> bool:
    known = _cause(error)
    if isinstance(known, HfHubHTTPError):
        return known.response.status_code in _BUSY
    return isinstance(known, httpx2.TransportError)


_BACKOFF = wait_exponential_jitter(initial=1, max=60)


def _seconds_to_wait(state: RetryCallState) -> float:
    """As long as the Hub says; else longer each time."""
    known = _trouble(state)
    if isinstance(known, HfHubHTTPError):
        said = known.response.headers.get("Retry-After", "")
        if said.isdigit():
            return min(float(said), _MOST_SECONDS)
    return _BACKOFF(state)


def _waiting(what: str, state: RetryCallState) -> str:
    known = _trouble(state)
    if isinstance(known, HfHubHTTPError):
        why = f"answered {known.response.status_code}"
    else:
        why = f"is out of reach ({type(known).__name__})"
    seconds = state.next_action.sleep if state.next_action else 0.0
    return (
        f"the Hub {why} when asked to {what}; asking again in {seconds:.0f} s "
        f"({state.attempt_number + 1} of {ATTEMPTS})"
    )


def _trouble(state: RetryCallState) -> HfHubHTTPError | httpx2.HTTPError | None:
    error = state.outcome.exception() if state.outcome else None
    return _cause(error) if error else None
