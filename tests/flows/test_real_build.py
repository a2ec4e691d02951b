"""One build as a new user runs it: servers of its own, the bundled model, no stub anywhere."""

import json
import os
import subprocess
import sys

import psutil
import pyarrow.parquet as pq
import pytest

from pipeline.records import parse
from tests.flows.conftest import ROOT

# `make dataset` in an empty home, which the gate runs, promises the same and more.
pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.exhaustive]


@pytest.mark.timeout(900)
def test_traces_become_mementos_with_the_real_engine(tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "pipeline", "build", "--config", "flows/configs/sample.yaml"]
    command += ["--limit", "2", "--run-dir", str(run), "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(tmp_path / "prefect")
    # To files: a pipe would stay open as long as any process that the build started.
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=out, stderr=err, timeout=840)
    told = json.loads((tmp_path / "out").read_text() or "{}")
    assert done.returncode in (0, 3), (tmp_path / "err").read_text()
    # A model of 135M may give no usable memento for a block; then its trace is failed, and nothing is hidden.
    assert told["done"] + told["failed"] == 2
    assert told["done"] > 0, (tmp_path / "err").read_text()
    assert told["usage"]["judge"]["cached_tokens"] > 0
    sources = {
        row["problem"]: row
        for shard in run.glob("ingest/*.parquet")
        for row in pq.read_table(shard).to_pylist()
    }
    for row in pq.read_table(run / "publish" / "data").to_pylist():
        parsed = parse(row["response"])
        assert "".join(parsed.blocks) == sources[row["problem"]]["reasoning"]
        assert all(parsed.mementos)
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if str(run) in " ".join(p.info["cmdline"] or [])]
    assert left == []
