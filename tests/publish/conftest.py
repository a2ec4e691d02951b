"""A local Hub that this process takes for the real one, and a run whose dataset is ready for it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import pytest
from huggingface_hub import constants

from pipeline.config import BuildConfig
from pipeline.publish import publish
from pipeline.publish.release import Release, release
from pipeline.run.store import RunFolder
from tests.records.rows import row
from tests.report.runs import finished_run
from tests.servers.hub import Hub

NAME = "org/mementos"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with Hub() as server:
        # Read from the environment when the libraries are imported, which has happened.
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", server.url)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets-cache")
        monkeypatch.setenv("HF_TOKEN", server.token)
        yield server


@dataclass
class Publisher:
    """Writes a run's published folder from traces, each its name or its row, and releases it."""

    root: Path
    told: list[str] = field(default_factory=list)

    def write(self, *traces: str | dict[str, Any], **config: Any) -> RunFolder:
        rows = [row(trace) if isinstance(trace, str) else trace for trace in traces]
        run = finished_run(self.root, rows, refused=["language"])
        build = BuildConfig(name="handmade", publish=config)
        publish(run, [0], build, prompts=["compress@1"], models=("writer", "judge"))
        return run

    def release(self, **options: Any) -> Release:
        return release(RunFolder(self.root), NAME, tell=self.told.append, **options)


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "run")
