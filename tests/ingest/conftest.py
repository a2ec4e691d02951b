from pathlib import Path

import pytest

from pipeline.run.store import RunFolder
from tests.ingest.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    (tmp_path / "source").mkdir()
    return Workshop(tmp_path / "source", RunFolder(tmp_path / "run"))
