"""The model of a build, being served: endpoints that the config names, or a vLLM server of our own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from pipeline.config import LlmConfig
from pipeline.llm.bundled import NAME as BUNDLED_NAME
from pipeline.llm.bundled import bundled_model
from pipeline.llm.engine import Engine

BUNDLED = "bundled"


@dataclass(frozen=True)
class Served:
    """Where the model is: endpoints (base URLs ending in /v1) and the name they serve it under."""

    endpoints: tuple[str, ...]
    model: str


def model_name(config: LlmConfig) -> str:
    """The model's name as endpoints serve it and as the published data names it."""
    return BUNDLED_NAME if config.model == BUNDLED else config.model


@contextmanager
def starting(config: LlmConfig, log: Path, tell: Callable[[str], None]) -> Iterator["Starting"]:
    """A model on its way up; an engine started here ends with the block, however the block ends.

    log: file for the engine's output; tell is called with what is being waited for.
    """
    if config.endpoints:
        yield Starting(Served(config.endpoints, model_name(config)), None)
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
        yield Starting(Served((engine.endpoint,), model_name(config)), engine)


@dataclass(frozen=True)
class Starting:
    """A model that may still be loading."""

    served: Served
    engine: Engine | None

    def ready(self) -> Served:
        """Waits until the model answers. Raises EngineError with the end of the log where it does not."""
        if self.engine is not None:
            self.engine.wait_ready()
        return self.served

    def check(self) -> None:
        """Raises EngineError where the engine has died too often to be started again."""
        if self.engine is not None:
            self.engine.check()
