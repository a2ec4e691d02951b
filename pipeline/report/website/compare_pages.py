"""The pages that put a second run beside the first: figures by domain, and a page for each common trace."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.compare import Comparison, compare_runs
from pipeline.files.atomic import replacing
from pipeline.inspection.trace_history import Story, stories_of_shard
from pipeline.report.website.as_it_stands import AsItStands
from pipeline.report.website.compare_page import compared_trace
from pipeline.report.website.listed_traces import ListedShard
from pipeline.report.website.pages import Pages
from pipeline.stages.registry import INGEST

_MOST_PAIRS = 20
_FOLDER = "compare"


class ComparePages:
    """The pages of one comparison."""

    def __init__(self, run: AsItStands, other: AsItStands, *, threshold: int) -> None:
        self._run = run
        self._other = other
        self._threshold = threshold
        self._shard_of = {
            id_: shard
            for shard in other.reached
            for id_ in other.read(INGEST, shard, ["trace_id"])["trace_id"].to_pylist()
        }

    def comparison(self) -> Comparison:
        """Both runs in figures, and the mementos that differ most."""
        return compare_runs(self._run, self._other, threshold=self._threshold, top=_MOST_PAIRS)

    def write(self, pages: Pages, listed: Sequence[ListedShard], folder: Path) -> None:
        """Writes the pages into folder/compare, in place of those of another comparison."""
        with replacing(folder / _FOLDER, durable=False) as temporary:
            temporary.mkdir()
            for shard in listed:
                for path, page in self._pages(pages, shard):
                    target = temporary / Path(path).relative_to(_FOLDER)
                    target.parent.mkdir(exist_ok=True)
                    target.write_text(page, encoding="utf-8", errors="replace")

    def _pages(self, pages: Pages, shard: ListedShard) -> Iterator[tuple[str, str]]:
        path_of = {one.trace_id: one.path for one in shard.traces if one.trace_id in self._shard_of}
        others = self._stories_of(path_of)
        for story in stories_of_shard(self._run, shard.number, lambda line: line.trace_id in path_of):
            trace_id = story.line.trace_id
            if story.trace is None or trace_id not in others:
                continue
            page = path_of[trace_id]
            path = page.replace("traces/", f"{_FOLDER}/", 1)
            view = compared_trace(story, others[trace_id], threshold=self._threshold)
            yield path, pages.compared_trace(view, path, page)

    def _stories_of(self, ids: Mapping[str, str]) -> dict[str, Story]:
        """The other run's stories of these traces."""
        numbers = sorted({self._shard_of[trace_id] for trace_id in ids})
        return {
            story.line.trace_id: story
            for number in numbers
            for story in stories_of_shard(self._other, number, lambda line: line.trace_id in ids)
            if story.trace is not None
        }


def written_comparisons(folder: Path) -> dict[str, str]:
    """Path of each trace's comparison by its id, of those that are there."""
    paths = sorted((folder / _FOLDER).glob("*/*.html"))
    return {path.stem: str(path.relative_to(folder)) for path in paths}


def remove_comparison(folder: Path) -> None:
    """Removes the pages of an earlier comparison, if there are any."""
    shutil.rmtree(folder / _FOLDER, ignore_errors=True)
