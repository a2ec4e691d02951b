"""The site of a run in RUN/report: its shards' pages, then the table and the overview that lead to them."""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.compare import Comparison
from pipeline.config import BuildConfig
from pipeline.files.atomic import value_digest, writing
from pipeline.files.damage import DamageError
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.inspection.traces import shards
from pipeline.report.site.all_shards import write_shards
from pipeline.report.site.compare_pages import ComparePages, remove_comparison
from pipeline.report.site.listed_traces import ListedShard, listed_traces, rows_to_show
from pipeline.report.site.overview import overview
from pipeline.report.site.pages import Pages, Site
from pipeline.report.site.shard_pages import ShardPages, remove_other_shards
from pipeline.report.site.site_files import code_digest, remove_leftovers, write_assets, write_page
from pipeline.run.store import RunFolder
from pipeline.verdicts import Verdict, agreement_of, read_verdicts

Progress = Callable[[int, int], None]
MENU = (("Overview", "index.html"), ("Traces", "traces.html"), ("Compare", "compare.html"))


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
) -> WrittenSite:
    """Writes the site of a run, as far as it is, into the folder; what still holds there is left alone.

    on_progress(traces done, traces to show). other: a run to compare it with. Every page is whole or not
    there, and a shard's pages are put in place together; index.html comes last, so that it is there only
    where all it leads to is. Memory: one shard, and some 100 bytes per trace. Raises DamageError, WriteError.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            remove_leftovers(folder)
            write_assets(folder)
            return _written(run, build, folder, on_progress, other)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits for whoever writes the same site: a build that ends while somebody views the run."""
    with (folder / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _written(
    run: RunFolder, build: BuildConfig, folder: Path, on_progress: Progress, other: RunFolder | None
) -> WrittenSite:
    numbers = list(shards(run))
    listed = listed_traces(run, numbers, build.report.max_traces)
    shown = sum(len(shard.traces) for shard in listed)
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    site = Site(build.name, now, MENU)
    pages = Pages(site)
    found, compared = _comparison(run, build, other, pages, listed, folder)
    work = ShardPages(run, build, folder, site, compared, _verdicts(run), code_digest())
    shards_written = write_shards(work, listed, on_progress)
    remove_other_shards(folder, listed)
    agreement = agreement_of(run)
    made = WrittenSite(folder / "index.html", shown, sum(shard.written for shard in shards_written))
    digest = value_digest(
        {
            "shards": [shard.digest for shard in shards_written],
            "config": build.model_dump(mode="json"),
            "agreement": agreement.as_json(),
        }
    )
    if other is None and made.index.exists() and _digest_before(folder) == digest:
        return made
    (folder / _RECORD).unlink(missing_ok=True)
    other_name = other.root.name if other is not None else ""
    write_page(folder / "compare.html", pages.comparison(found, other_name, compared))
    table = pages.traces(
        chunks=[shard.chunk for shard in listed],
        rows=shown,
        rows_in_run=sum(rows_to_show(run, number) for number in numbers),
    )
    write_page(folder / "traces.html", table)
    costly = [one for shard in shards_written for one in shard.costly]
    view = overview(run, build, numbers, costly, folder)
    write_page(made.index, pages.overview(view, agreement))
    if other is None:
        write_sealed({"digest": digest}, folder / _RECORD)
    return made


_RECORD = "written.json"


def _digest_before(folder: Path) -> str | None:
    """Digest of what the pages that lead to all traces were made from; None where it is not known."""
    try:
        digest: str = read_sealed(folder / _RECORD)["digest"]
    except (FileNotFoundError, DamageError):
        return None
    return digest


def _comparison(
    run: RunFolder,
    build: BuildConfig,
    other: RunFolder | None,
    pages: Pages,
    listed: Sequence[ListedShard],
    folder: Path,
) -> tuple[Comparison | None, dict[str, str]]:
    """Both runs in figures, and the pages of their traces, written; None and no page without another run."""
    if other is None:
        remove_comparison(folder)
        return None, {}
    comparing = ComparePages(run, other, threshold=build.mementos.threshold)
    return comparing.comparison(), comparing.write(pages, listed, folder)


def _verdicts(run: RunFolder) -> dict[str, dict[tuple[int, str], Verdict]]:
    """A person's verdicts by trace, then by block and SHA-256 of the memento's text."""
    found: dict[str, dict[tuple[int, str], Verdict]] = {}
    for verdict in read_verdicts(run):
        found.setdefault(verdict.trace_id, {})[verdict.block, verdict.memento_sha256] = verdict
    return found
