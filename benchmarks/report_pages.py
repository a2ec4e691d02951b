"""Seconds and memory that the pages of ten thousand traces take, and the same again with nothing new.

The traces are the real ones (or the sample), built with a stub model and multiplied; their sizes are told.
"""

import json
import resource
import tempfile
import time
from pathlib import Path

import pyarrow.compute as pc

from benchmarks.scale import real_traces
from pipeline.config import BuildConfig
from pipeline.report.website import write_site
from pipeline.run.store import RunFolder
from tests.builds import run_build
from tests.report.website.runs import multiplied
from tests.servers.stub_llm import StubLlm

TRACES = 10_000


def run() -> dict[str, float]:
    """Seconds by kind of writing, megabytes on the disk and in memory."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        once, build = _built(root)
        rows = once.read_manifest("ingest", 0)
        assert rows is not None
        many = multiplied(once, root / "many", shards=-(-TRACES // rows.rows_in), times=1)
        tokens = pc.mean(pc.list_flatten(once.read("records", 0)["block_tokens"])).as_py()
        blocks = pc.mean(pc.list_value_length(once.read("records", 0)["block_tokens"])).as_py()
        figures = {"tokens per trace": tokens * blocks}
        for what in ("written", "with nothing new"):
            began = time.monotonic()
            site = write_site(many, build, many.report, lambda done, total: None)
            figures[f"seconds, {what}"] = time.monotonic() - began
        figures["traces"] = site.traces
        size = sum(path.stat().st_size for path in many.report.rglob("*") if path.is_file())
    used = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {**figures, "MB on the disk": size / 1e6, "MB of memory, the largest process": max(used) / 1e3}


def _built(root: Path) -> tuple[RunFolder, BuildConfig]:
    """All traces at hand in one shard."""
    source = root / "traces.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in real_traces()), encoding="utf-8")
    run = RunFolder(root / "once")
    with StubLlm() as stub:
        build = BuildConfig.model_validate(
            {
                "name": "report",
                "source": {"paths": [str(source)]},
                "report": {"max_traces": 2 * TRACES},
                "llm": {"endpoints": [stub.endpoint], "model": "stub"},
                "traces_per_shard": 1_000,
            }
        )
        run_build(build, run)
    return run, build


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{value:10.2f}  {name}")
