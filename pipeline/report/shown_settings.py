"""What is shown of a build's config to whoever has its data or its report."""

from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.config import BuildConfig
from pipeline.records.quality import ANY_QUALITY, QUALITY_KEYS, wanted_quality


def shown_settings(config: BuildConfig) -> dict[str, Any]:
    """The parts of the config that shape the data; no address, key name or path of the builder."""
    settings: dict[str, Any] = config.model_dump(
        mode="json",
        include={
            "source": {"revision"},
            "select": True,
            "split": True,
            "score": True,
            "partition": True,
            "mementos": True,
            "llm": {"max_attempts", "seed", "sampling", "extra_body"},
        },
    )
    # Only the names of files: where they lie is the builder's own matter.
    select = settings["select"]
    select["decontaminate"] = [PurePosixPath(path).name for path in select["decontaminate"]]
    if wanted_quality(config) != ANY_QUALITY:
        settings["publish"] = config.publish.model_dump(mode="json", include=set(QUALITY_KEYS))
    return settings


def shown_model(model: str) -> str:
    """A model's name, or that of its folder; where it lies is the builder's own matter."""
    return Path(model).name if model.startswith(("/", "./", "../", "~")) else model
