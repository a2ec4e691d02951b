"""Where a build's model is served: endpoints that the config names, or a vLLM server started here."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from platformdirs import user_cache_path

from pipeline.config import LlmConfig
from pipeline.llm.admission import Admission
from pipeline.llm.bundled_model import NAME as BUNDLED_NAME
from pipeline.llm.bundled_model import bundled_model
from pipeline.llm.concurrency import ConcurrencyLimit
from pipeline.llm.deviations import Notices
from pipeline.llm.engine import Engine
from pipeline.llm.kv_cache import kv_cache_tokens
from pipeline.llm.model import EndpointUnavailable
from pipeline.llm.urls import shown_url, url_of

BUNDLED = "bundled"
# Whoever names endpoints has started them; half a minute covers one that is just coming up.
_SECONDS_FOR_AN_ENDPOINT = 30.0


@dataclass(frozen=True)
class ServedModel:
    """Where the model is: endpoints (base URLs ending in /v1) and the name they serve it under.

    slots: room for requests of all that ask it; admission: for traces, in the endpoints' KV caches; notices:
    what all of them hear of the endpoints, once.
    """

    endpoints: tuple[str, ...]
    model: str
    slots: ConcurrencyLimit
    admission: Admission
    notices: Notices = field(default_factory=Notices)


def model_name(config: LlmConfig) -> str:
    """The model's name as endpoints serve it and as the published data names it."""
    return BUNDLED_NAME if config.model == BUNDLED else config.model


@contextmanager
def starting(config: LlmConfig, log: Path, tell: Callable[[str], None]) -> Iterator["Startup"]:
    """A model that is starting; an engine started here ends with the block, whatever happens in it.

    log: file for the engine's output; tell is called with what is being waited for.
    """
    if config.endpoints:
        seconds = min(_SECONDS_FOR_AN_ENDPOINT, config.deadline_seconds)
        yield Startup(config, config.endpoints, None, seconds, tell)
        return
    if config.model == BUNDLED:
        cache = user_cache_path("openmementos")
        if not (cache / BUNDLED_NAME).exists():
            tell(f"unpacking {BUNDLED_NAME}, once")
        model = str(bundled_model(cache))
    else:
        model = config.model
    tell(f"loading {model_name(config)} into vLLM, see {log}")
    with Engine(config.engine, model, model_name(config), log, notify=tell) as engine:
        yield Startup(config, (engine.endpoint,), engine, 0.0, tell)


def _fault(endpoint: str) -> str:
    """Why nobody answers at an endpoint; empty where somebody does, whatever the answer."""
    try:
        httpx2.get(url_of(endpoint, "/models"), timeout=10, trust_env=False)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return f"{shown_url(endpoint)}: {error or type(error).__name__}"
    return ""


@dataclass(frozen=True)
class Startup:
    """A model that may still be loading."""

    config: LlmConfig
    endpoints: tuple[str, ...]
    engine: Engine | None
    seconds: float
    tell: Callable[[str], None]

    def ready(self) -> ServedModel:
        """Waits until the model answers, at configured endpoints for `seconds` at most.

        Raises EngineError with the end of the log, or EndpointUnavailable, where it does not.
        """
        if self.engine is not None:
            self.engine.wait_ready()
        else:
            self._wait_for_an_endpoint()
        return ServedModel(
            self.endpoints,
            model_name(self.config),
            ConcurrencyLimit(self.config.max_in_flight),
            self._admission(),
        )

    def _wait_for_an_endpoint(self) -> None:
        deadline = time.monotonic() + self.seconds
        while faults := [fault for url in self.endpoints if (fault := _fault(url))]:
            if len(faults) < len(self.endpoints):
                return
            self.tell(f"waiting for an endpoint: {'; '.join(faults)}")
            if time.monotonic() > deadline:
                raise EndpointUnavailable("before the first request", "; ".join(faults))
            time.sleep(1.0)

    def _admission(self) -> Admission:
        """Room for traces in the caches, as configured or as the endpoints tell."""
        asked = self.config.kv_cache_tokens is None
        held = {url: kv_cache_tokens(url) if asked else self.config.kv_cache_tokens for url in self.endpoints}
        # An endpoint that is not up yet will hardly hold less than the others.
        least = min((tokens for tokens in held.values() if tokens is not None), default=None)
        held = {url: least if tokens is None else tokens for url, tokens in held.items()}
        share, most_traces = self.config.kv_cache_share, self.config.max_in_flight
        rooms = {url: None if tokens is None else int(share * tokens) for url, tokens in held.items()}
        if least is None:
            self.tell(
                f"how much the KV cache holds is unknown: up to {most_traces} traces are worked on at once "
                "(llm.kv_cache_tokens)"
            )
        else:
            self.tell(
                f"the KV cache holds {sum(filter(None, held.values())):,} tokens: traces of up to "
                f"{sum(filter(None, rooms.values())):,} together are worked on at once (llm.kv_cache_share)"
            )
        return Admission(rooms, most_traces)

    def check(self) -> None:
        """Raises EngineError where the engine has died too often to be started again."""
        if self.engine is not None:
            self.engine.check()
