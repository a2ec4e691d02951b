"""The pages of all shards: in this process where they are soon written, else in one process per core."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed

from pipeline.processes.workers import workers
from pipeline.report.website.listed_traces import ListedShard
from pipeline.report.website.shard_pages import Neighbours, ShardPages, WrittenShard

# Processes take some seconds to start, so they pay only where much is left to write.
PROCESSES_PAY_AFTER = 10.0


def write_shards(
    pages: ShardPages,
    listed: Sequence[ListedShard],
    on_progress: Callable[[int, int], None],
    *,
    pays_after: float = PROCESSES_PAY_AFTER,
) -> list[WrittenShard]:
    """What was written of each shard, in their order. on_progress(traces done, traces to show).

    The first shards tell how long the others will take: once that is more than `pays_after` seconds, the rest
    is shared among processes.
    """
    shown = sum(len(shard.traces) for shard in listed)
    done = 0

    def add(traces: int) -> None:
        nonlocal done
        done += traces
        on_progress(done, shown)

    tasks = list(zip(listed, _neighbours(listed), strict=True))
    started = time.monotonic()
    written: list[WrittenShard] = []
    for number, (shard, neighbours) in enumerate(tasks, 1):
        written.append(pages.write(shard, neighbours, lambda: add(1)))
        if not written[-1].written:
            add(len(shard.traces))
        rest = tasks[number:]
        if len(rest) > 1 and (time.monotonic() - started) / number * len(rest) > pays_after:
            return [*written, *_in_processes(pages, rest, add)]
    return written


def _in_processes(
    pages: ShardPages, tasks: Sequence[tuple[ListedShard, Neighbours]], add: Callable[[int], None]
) -> list[WrittenShard]:
    with workers(len(tasks)) as pool:
        writes = {pool.submit(_write, pages, *task): len(task[0].traces) for task in tasks}
        for write in as_completed(writes):
            write.result()
            add(writes[write])
        return [write.result() for write in writes]


def _write(pages: ShardPages, shard: ListedShard, neighbours: Neighbours) -> WrittenShard:
    return pages.write(shard, neighbours, lambda: None)


def _neighbours(listed: Sequence[ListedShard]) -> Iterator[Neighbours]:
    """For each shard the page before its first and the one after its last trace."""
    paths = [shard.paths for shard in listed]
    for number in range(len(listed)):
        before = next((path[-1] for path in reversed(paths[:number]) if path), None)
        after = next((path[0] for path in paths[number + 1 :] if path), None)
        yield before, after
