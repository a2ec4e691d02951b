"""The pages of a shard's traces and their rows of the table, written together where anything has changed."""

import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.config import BuildConfig
from pipeline.files.atomic import value_digest, writing
from pipeline.files.damage import DamageError
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.inspection.trace_history import Story, stories_of_shard
from pipeline.inspection.traces import stages_reached
from pipeline.report.site.listed_traces import ListedShard
from pipeline.report.site.overview import CostlyTrace, effort_cost, most_costly
from pipeline.report.site.pages import Pages
from pipeline.report.site.site_files import code_digest
from pipeline.report.site.trace_page import trace_view
from pipeline.report.site.trace_rows import script, trace_row
from pipeline.run.effort import Effort, read_effort
from pipeline.run.store import RunFolder
from pipeline.verdicts import Verdict, read_verdicts

Neighbours = tuple[str | None, str | None]
_RECORD = "written.json"


class ShardPages:
    """Writes the pages of one shard after the other.

    written: pages so far; costly: traces that took most; digests: of what each shard's pages are made from.
    """

    def __init__(
        self, run: RunFolder, build: BuildConfig, folder: Path, pages: Pages, compared: Mapping[str, str]
    ) -> None:
        """compared: path of a trace's comparison by its id."""
        self.written = 0
        self.digests: list[str] = []
        self.costly: list[CostlyTrace] = []
        self._run = run
        self._build = build
        self._folder = folder
        self._pages = pages
        self._compared = compared
        self._code = code_digest()
        self._verdicts: dict[str, dict[tuple[int, str], Verdict]] = {}
        for verdict in read_verdicts(run):
            mine = self._verdicts.setdefault(verdict.trace_id, {})
            mine[verdict.block, verdict.memento_sha256] = verdict

    def write(self, shard: ListedShard, neighbours: Neighbours) -> Iterator[None]:
        """Writes a shard's folder, giving a sign after each page; none where what is there still holds.

        neighbours: pages before its first and after its last trace.
        """
        efforts = read_effort(self._run, shard.number)
        digest = self._digest(shard, neighbours, efforts)
        self.digests.append(digest)
        target = self._folder / shard.folder
        costly = _costly_before(target, digest)
        if costly is None:
            temporary = target.with_name(f".{target.name}.tmp")
            with writing(temporary):
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir(parents=True)
                costly = yield from self._pages_into(temporary, shard, neighbours, efforts)
                record = {"digest": digest, "costly": [asdict(one) for one in costly]}
                write_sealed(record, temporary / _RECORD)
                shutil.rmtree(target, ignore_errors=True)
                temporary.rename(target)
        self.costly += costly

    def remove_others(self, shards: Sequence[int]) -> None:
        """Removes the pages of shards that the run no longer has."""
        kept = {f"{number:05d}" for number in shards}
        for folder in (self._folder / "traces").glob("*"):
            if folder.name not in kept:
                shutil.rmtree(folder)

    def _pages_into(
        self, folder: Path, shard: ListedShard, neighbours: Neighbours, efforts: Mapping[str, Effort]
    ) -> Generator[None, None, list[CostlyTrace]]:
        at = {(trace.trace_id, trace.origin): number for number, trace in enumerate(shard.traces)}
        around = [neighbours[0], *shard.paths, neighbours[1]]
        rows: list[list[Any]] = []
        costly: list[CostlyTrace] = []
        stories = stories_of_shard(self._run, shard.number, lambda line: (line.trace_id, line.origin) in at)
        for story in stories:
            number = at[story.line.trace_id, story.line.origin]
            path, effort = shard.paths[number], efforts.get(story.line.trace_id)
            page = self._page(story, path, (around[number], around[number + 2]), effort)
            (folder / Path(path).name).write_text(page, encoding="utf-8", errors="replace")
            rows.append(trace_row(story, path, effort))
            if effort is not None:
                cost = effort_cost(self._build, effort)
                costly.append(CostlyTrace(story.line.trace_id, path, story.line.domain or "", effort, cost))
            self.written += 1
            yield
        (folder / "rows.js").write_text(script(rows), encoding="ascii")
        return most_costly(costly)

    def _page(self, story: Story, path: str, neighbours: Neighbours, effort: Effort | None) -> str:
        view = trace_view(story, threshold=self._build.mementos.threshold, effort=effort)
        verdicts = self._verdicts.get(story.line.trace_id, {})
        compared = self._compared.get(story.line.trace_id)
        return self._pages.trace(view, path, neighbours, verdicts, compared)

    def _digest(self, shard: ListedShard, neighbours: Neighbours, efforts: Mapping[str, Effort]) -> str:
        """Digest of all that the shard's pages are made from."""
        stages = stages_reached(self._run, shard.number)
        manifests = [self._run.read_manifest(stage, shard.number) for stage in stages]
        ids = {trace.trace_id for trace in shard.traces}
        return value_digest(
            {
                "code": self._code,
                "name": self._build.name,
                "threshold": self._build.mementos.threshold,
                "traces": shard.paths,
                "neighbours": neighbours,
                "compared": sorted(ids & self._compared.keys()),
                "results": [asdict(one) for one in manifests if one is not None],
                "efforts": {id_: asdict(effort) for id_, effort in efforts.items()},
                "verdicts": sorted(
                    [id_, *key, one.verdict, one.why]
                    for id_ in ids & self._verdicts.keys()
                    for key, one in self._verdicts[id_].items()
                ),
            }
        )


def _costly_before(folder: Path, digest: str) -> list[CostlyTrace] | None:
    """The costly traces of a shard whose pages still hold; None where they have to be written."""
    try:
        record = read_sealed(folder / _RECORD)
    except (FileNotFoundError, DamageError):
        return None
    if record["digest"] != digest:
        return None
    return [CostlyTrace(**{**one, "effort": Effort(**one["effort"])}) for one in record["costly"]]
