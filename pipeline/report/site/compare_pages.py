"""The pages that put a second run beside the first: figures by domain, and a page for each common trace."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.compare import Comparison, compare_runs
from pipeline.files.atomic import writing
from pipeline.inspection.trace_history import Story, stories_of_shard
from pipeline.inspection.traces import shards
from pipeline.report.site.compare_page import compared_trace
from pipeline.report.site.listed_traces import ListedShard
from pipeline.report.site.pages import Pages
from pipeline.run.store import RunFolder
from pipeline.stages.registry import INGEST

_MOST_PAIRS = 20
_FOLDER = "compare"


def compare_path(path: str) -> str:
    """Path of a trace's comparison, from that of its page."""
    return path.replace("traces/", f"{_FOLDER}/", 1)


class ComparePages:
    """The pages of one comparison."""

    def __init__(self, run: RunFolder, other: RunFolder, *, threshold: int) -> None:
        self._run = run
        self._other = other
        self._threshold = threshold
        self._shard_of = {
            id_: shard
            for shard in shards(other)
            for id_ in other.read(INGEST, shard, ["trace_id"])["trace_id"].to_pylist()
        }

    def comparison(self) -> Comparison:
        """Both runs in figures, and the mementos that differ most."""
        return compare_runs(self._run, self._other, threshold=self._threshold, top=_MOST_PAIRS)

    def write(self, pages: Pages, listed: Sequence[ListedShard], folder: Path) -> dict[str, str]:
        """Writes the pages into folder/compare, in place of those of another comparison; path by trace."""
        temporary = folder / f".{_FOLDER}.tmp"
        paths: dict[str, str] = {}
        with writing(temporary):
            shutil.rmtree(temporary, ignore_errors=True)
            for shard in listed:
                for trace_id, path, page in self._pages(pages, shard):
                    target = temporary / Path(path).relative_to(_FOLDER)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text(page, encoding="utf-8", errors="replace")
                    paths[trace_id] = path
            remove_comparison(folder)
            if paths:
                temporary.rename(folder / _FOLDER)
        return paths

    def _pages(self, pages: Pages, shard: ListedShard) -> Iterator[tuple[str, str, str]]:
        path_of = {one.trace_id: one.path for one in shard.traces if one.trace_id in self._shard_of}
        others = self._stories_of(path_of)
        for story in stories_of_shard(self._run, shard.number, lambda line: line.trace_id in path_of):
            trace_id = story.line.trace_id
            if story.trace is None or trace_id not in others:
                continue
            path = path_of[trace_id]
            view = compared_trace(story, others[trace_id], threshold=self._threshold)
            yield trace_id, compare_path(path), pages.compared_trace(view, compare_path(path), path)

    def _stories_of(self, ids: Mapping[str, str]) -> dict[str, Story]:
        """The other run's stories of these traces."""
        numbers = sorted({self._shard_of[trace_id] for trace_id in ids})
        return {
            story.line.trace_id: story
            for number in numbers
            for story in stories_of_shard(self._other, number, lambda line: line.trace_id in ids)
            if story.trace is not None
        }


def remove_comparison(folder: Path) -> None:
    """Removes the pages of an earlier comparison, if there are any."""
    shutil.rmtree(folder / _FOLDER, ignore_errors=True)
