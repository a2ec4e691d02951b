"""Runs to look at: of the sample, of ten thousand traces, and of texts that mean no good."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import BuildConfig
from pipeline.files.sealed_json import write_sealed
from pipeline.run.outcomes import Done, Failed, ShardResult
from pipeline.run.store import RunFolder
from pipeline.stages.registry import INGEST, STAGES
from pipeline.stages.run_shard import run_stages
from schemas.tables import FAILED, REJECTED
from tests.builds import run_build
from tests.commands.runs import memento as written_memento
from tests.commands.runs import partitioned_run, write_mementos
from tests.servers.stub_llm import StubLlm

ROOT = Path(__file__).parents[3]
REPLIES = ["{half", "<img src=x onerror=alert(1)>"]


def sample_run(root: Path, **settings: Any) -> tuple[RunFolder, BuildConfig]:
    """The sample that comes along, built with a stub in the model's place."""
    run = RunFolder(root)
    with StubLlm() as stub:
        build = BuildConfig.model_validate(
            {
                "name": "sample",
                "source": {"paths": [str(ROOT / "data/sample/traces.jsonl")]},
                "partition": {"min_tokens": 300},
                "llm": {"endpoints": [stub.endpoint], "model": "stub"},
                "traces_per_shard": 10,
                **settings,
            }
        )
        run_build(build, run)
    return run, build


def small_run(root: Path) -> tuple[RunFolder, BuildConfig]:
    """One trace done, one failed by the judge, one rejected by ingest."""
    run, build = partitioned_run(root)
    failed = Failed("trace x, block 1, judge: not JSON in each of 2 replies", REPLIES)
    write_mementos(run, [Done({"mementos": [written_memento(n) for n in range(3)]}), failed])
    run_stages(["records"], 0, run, build, None)
    write_sealed(build.model_dump(mode="json"), run.config_file)
    return run, build


def multiplied(source: RunFolder, root: Path, *, shards: int, times: int) -> RunFolder:
    """A run whose every shard has the traces of the source's first shard so many times, under other ids."""
    run = RunFolder(root)
    for shard in range(shards):
        before = "source"
        for stage in (INGEST, *(stage.name for stage in STAGES)):
            tables = (source.read(stage, 0), source.read_rejected(stage, 0), source.read_failed(stage, 0))
            done, rejected, failed = (_copies(table, shard, times) for table in tables)
            before = run.write(
                stage,
                shard,
                ShardResult(done, rejected.cast(REJECTED), failed.cast(FAILED)),
                rows_in=done.num_rows + rejected.num_rows + failed.num_rows,
                input=before,
                config="by hand",
                version=1,
                usage={},
                seconds=1.0,
            ).output
    run.config_file.write_bytes(source.config_file.read_bytes())
    return run


def _copies(table: pa.Table, shard: int, times: int) -> pa.Table:
    ids: Sequence[str] = table["trace_id"].to_pylist()
    column = table.column_names.index("trace_id")
    copies = [
        table.set_column(
            column, table.field(column), pa.array([f"{shard:03d}{n:02d}{i}" for i in ids], pa.string())
        )
        for n in range(times)
    ]
    return pa.concat_tables(copies)
