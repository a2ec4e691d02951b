"""The site of a run in RUN/report: its shards' pages, then the table and the overview that lead to them."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.config import BuildConfig
from pipeline.files.atomic import value_digest, writing
from pipeline.files.damage import DamageError
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.report.website.all_shards import write_shards
from pipeline.report.website.as_it_stands import AsItStands, as_it_stands
from pipeline.report.website.compare_pages import ComparePages, remove_comparison, written_comparisons
from pipeline.report.website.listed_traces import ListedShard, listed_traces, rows_to_show
from pipeline.report.website.overview import overview
from pipeline.report.website.pages import Pages, Site
from pipeline.report.website.shard_pages import ShardPages, remove_other_shards
from pipeline.report.website.site_files import alone_in, code_digest, write_assets, write_page
from pipeline.run.store import RunFolder
from pipeline.stages.registry import INGEST
from pipeline.verdicts import Verdict, agreement_of, read_verdicts

LOG = logging.getLogger(__name__)
Progress = Callable[[int, int], None]
MENU = (("Overview", "index.html"), ("Traces", "traces.html"), ("Compare", "compare.html"))
_RECORD = "written.json"


@dataclass(frozen=True)
class WrittenSite:
    """A site's first page, the traces that it shows, and how many of these were written just now."""

    index: Path
    traces: int
    written: int


def write_site(
    run: RunFolder,
    build: BuildConfig,
    folder: Path,
    on_progress: Progress,
    *,
    other: RunFolder | None = None,
    compare: bool = True,
    otherwise: str = "",
) -> WrittenSite:
    """Writes the site of a run, as far as it is, into the folder; what still holds there is left alone.

    on_progress(traces done, traces to show). other: a run to compare it with; None: that of the last time,
    while it is there; none at all where compare is False. otherwise: what can be done besides moving away
    other things that are in the folder, for the message. Every page is whole or not there, a shard's pages
    are put in place together, and index.html comes last: a new site has none until all that it leads to is
    there. Memory: one shard, and some 100 bytes per trace. Raises ReportError where the folder has other
    things in it; DamageError, WriteError.
    """
    with writing(folder), alone_in(folder, is_site=_is_site, otherwise=otherwise):
        if not compare:
            other = None
        elif other is None:
            other = compared_run(folder)
        work = _Work(as_it_stands(run), build, folder, None if other is None else as_it_stands(other))
        return work.done(on_progress)


def compared_run(folder: Path) -> RunFolder | None:
    """The run that a site compares its own with; None where there is none, or none any more."""
    told = _record(folder).get("other")
    run = RunFolder((folder / told).resolve()) if told else None
    return run if run is not None and (run.root / INGEST).is_dir() else None


def _is_site(folder: Path) -> bool:
    """Whether a site was written here: a record of one is there, damaged or not."""
    try:
        told = json.loads((folder / _RECORD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and told.keys() >= {"other", "comparison", "pages"}


def _record(folder: Path) -> dict[str, Any]:
    """What the pages that lead to all others were made from; empty where that is not known."""
    try:
        return read_sealed(folder / _RECORD)
    except (FileNotFoundError, DamageError):
        return {}


class _Work:
    """One writing of a site, whose folder is nobody else's meanwhile."""

    def __init__(self, run: AsItStands, build: BuildConfig, folder: Path, other: AsItStands | None) -> None:
        self._run = run
        self._build = build
        self._folder = folder
        self._other = other
        self._code = code_digest()
        now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
        self._site = Site(build.name, now, MENU)
        self._pages = Pages(self._site)
        self._numbers = list(run.reached)
        self._verdicts = _readable_verdicts(run)

    def done(self, on_progress: Progress) -> WrittenSite:
        before = _record(self._folder)
        if not before:
            # First of all: by it the folder is known as a site's, however it is copied, whenever this ends.
            self._note(None, None)
        write_assets(self._folder)
        listed = listed_traces(self._run, self._numbers, self._build.report.max_traces)
        comparison = self._compare(listed, before.get("comparison"))
        compared = written_comparisons(self._folder)
        verdicts = _by_trace(self._verdicts)
        work = ShardPages(self._run, self._build, self._folder, self._site, compared, verdicts, self._code)
        shards = write_shards(work, listed, on_progress)
        remove_other_shards(self._folder, listed)
        pages = self._digest([shard.digest for shard in shards])
        index = self._folder / "index.html"
        if before != self._described(comparison, pages) or not index.exists():
            self._note(comparison, None)
            self._write_first_pages(listed, index)
            self._note(comparison, pages)
        shown = sum(len(shard.traces) for shard in listed)
        return WrittenSite(index, shown, sum(shard.written for shard in shards))

    def _described(self, comparison: str | None, pages: str | None) -> dict[str, Any]:
        """What is compared, and digests of what is there as it should be; None while it is being written."""
        # From here, since the folder may be given away, or moved together with the runs.
        other = None if self._other is None else os.path.relpath(self._other.root, self._folder)
        return {"other": other, "comparison": comparison, "pages": pages}

    def _note(self, comparison: str | None, pages: str | None) -> None:
        write_sealed(self._described(comparison, pages), self._folder / _RECORD)

    def _digest(self, shards: Sequence[str]) -> str:
        return value_digest(
            {
                "code": self._code,
                "shards": shards,
                "config": self._build.model_dump(mode="json"),
                "agreement": agreement_of(self._run, self._verdicts).as_json(),
            }
        )

    def _compare(self, listed: Sequence[ListedShard], before: str | None) -> str:
        """Writes what is compared with another run, where it is not there as it should be; its digest."""
        digest = value_digest(
            {
                "code": self._code,
                "runs": [None if run is None else _results(run) for run in (self._run, self._other)],
                "traces": [shard.paths for shard in listed],
                "threshold": self._build.mementos.threshold,
            }
        )
        if digest == before:
            return digest
        self._note(None, None)
        found, name = None, ""
        if self._other is None:
            remove_comparison(self._folder)
        else:
            comparing = ComparePages(self._run, self._other, threshold=self._build.mementos.threshold)
            found, name = comparing.comparison(), self._other.root.name
            comparing.write(self._pages, listed, self._folder)
        paths = written_comparisons(self._folder)
        write_page(self._folder / "compare.html", self._pages.comparison(found, name, paths))
        return digest

    def _write_first_pages(self, listed: Sequence[ListedShard], index: Path) -> None:
        table = self._pages.traces(
            chunks=[shard.chunk for shard in listed],
            rows=sum(len(shard.traces) for shard in listed),
            rows_in_run=sum(rows_to_show(self._run, number) for number in self._numbers),
        )
        write_page(self._folder / "traces.html", table)
        paths = {trace.trace_id: trace.path for shard in listed for trace in shard.traces}
        view = overview(self._run, self._build, self._numbers, paths, self._folder)
        write_page(index, self._pages.overview(view, agreement_of(self._run, self._verdicts)))


def _results(run: AsItStands) -> list[Any]:
    """What a run has come to, as its manifests say, and where it lies."""
    manifests = [
        run.read_manifest(stage, shard) for shard, stages in run.reached.items() for stage in sorted(stages)
    ]
    return [str(run.root.absolute()), [asdict(one) for one in manifests if one is not None]]


def _readable_verdicts(run: RunFolder) -> list[Verdict]:
    """A person's verdicts on the run; none, with a line in the log, where their file is damaged.

    A build that nobody watches goes on without them; the file is left as it is.
    """
    try:
        return read_verdicts(run)
    except DamageError as damage:
        LOG.warning("the report is without verdicts: %s", damage)
        return []


def _by_trace(verdicts: Sequence[Verdict]) -> dict[str, dict[tuple[int, str], Verdict]]:
    """A person's verdicts by trace, then by block and SHA-256 of the memento's text."""
    found: dict[str, dict[tuple[int, str], Verdict]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.trace_id, {})[verdict.block, verdict.memento_sha256] = verdict
    return found
