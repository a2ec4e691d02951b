"""The pages of a shard's traces and their rows of the table, written together where anything has changed."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.config import BuildConfig
from pipeline.files.atomic import replacing, value_digest
from pipeline.files.damage import DamageError
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.inspection.trace_history import stories_of_shard
from pipeline.inspection.traces import stages_reached
from pipeline.report.website.listed_traces import ListedShard
from pipeline.report.website.pages import Pages, Site
from pipeline.report.website.trace_page import trace_view
from pipeline.report.website.trace_rows import script, trace_row
from pipeline.run.effort import Effort, read_effort
from pipeline.run.store import RunFolder
from pipeline.verdicts import Verdict

Neighbours = tuple[str | None, str | None]
_RECORD = "written.json"


@dataclass(frozen=True)
class WrittenShard:
    """digest: of all that its pages are made from; written: pages that were written now."""

    digest: str
    written: int


@dataclass(frozen=True)
class ShardPages:
    """Writes the pages of shards, in whatever process.

    compared: path of a trace's comparison by its id; verdicts: by trace, block and SHA-256 of a memento;
    code: digest of the code that makes pages.
    """

    run: RunFolder
    build: BuildConfig
    folder: Path
    site: Site
    compared: Mapping[str, str]
    verdicts: Mapping[str, Mapping[tuple[int, str], Verdict]]
    code: str

    def write(self, shard: ListedShard, neighbours: Neighbours, on_page: Callable[[], None]) -> WrittenShard:
        """Writes a shard's folder; leaves it alone where what is there still holds.

        neighbours: pages before its first and after its last trace; on_page is called after each page.
        """
        efforts = read_effort(self.run, shard.number)
        digest = self._digest(shard, neighbours, efforts)
        target = self.folder / shard.folder
        if _digest_before(target) == digest:
            return WrittenShard(digest, 0)
        with replacing(target, durable=False) as temporary:
            temporary.mkdir()
            self._write_into(temporary, shard, neighbours, efforts, on_page)
            write_sealed({"digest": digest}, temporary / _RECORD)
        return WrittenShard(digest, len(shard.traces))

    def _write_into(
        self,
        folder: Path,
        shard: ListedShard,
        neighbours: Neighbours,
        efforts: Mapping[str, Effort],
        on_page: Callable[[], None],
    ) -> None:
        at = {(trace.trace_id, trace.origin): number for number, trace in enumerate(shard.traces)}
        around = [neighbours[0], *shard.paths, neighbours[1]]
        pages = Pages(self.site)
        rows: list[list[Any]] = []
        for story in stories_of_shard(
            self.run, shard.number, lambda line: (line.trace_id, line.origin) in at
        ):
            trace_id = story.line.trace_id
            number = at[trace_id, story.line.origin]
            path, effort = shard.paths[number], efforts.get(trace_id)
            page = pages.trace(
                trace_view(story, threshold=self.build.mementos.threshold, effort=effort),
                path,
                (around[number], around[number + 2]),
                self.verdicts.get(trace_id, {}),
                self.compared.get(trace_id),
            )
            (folder / Path(path).name).write_text(page, encoding="utf-8", errors="replace")
            rows.append(trace_row(story, path, effort))
            on_page()
        (folder / "rows.js").write_text(script(rows), encoding="ascii")

    def _digest(self, shard: ListedShard, neighbours: Neighbours, efforts: Mapping[str, Effort]) -> str:
        """Digest of all that the shard's pages are made from."""
        stages = stages_reached(self.run, shard.number)
        manifests = [self.run.read_manifest(stage, shard.number) for stage in stages]
        ids = {trace.trace_id for trace in shard.traces}
        return value_digest(
            {
                "code": self.code,
                "site": [self.site.name, self.site.pages],
                "threshold": self.build.mementos.threshold,
                "traces": shard.paths,
                "neighbours": neighbours,
                "compared": sorted(ids & self.compared.keys()),
                "results": [asdict(one) for one in manifests if one is not None],
                "efforts": {id_: asdict(effort) for id_, effort in efforts.items()},
                "verdicts": sorted(
                    [id_, *key, one.verdict, one.why]
                    for id_ in ids & self.verdicts.keys()
                    for key, one in self.verdicts[id_].items()
                ),
            }
        )


def _digest_before(folder: Path) -> str | None:
    """Of what a shard's pages were made; None where there are none, or not all."""
    try:
        digest: str = read_sealed(folder / _RECORD)["digest"]
    except (FileNotFoundError, DamageError):
        return None
    return digest


def remove_other_shards(folder: Path, shards: Sequence[ListedShard]) -> None:
    """Removes the pages of shards that the run no longer has."""
    kept = {Path(shard.folder).name for shard in shards}
    for pages in (folder / "traces").glob("[0-9]*"):
        if pages.name not in kept:
            shutil.rmtree(pages)
