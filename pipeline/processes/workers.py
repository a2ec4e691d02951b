"""Worker processes for work on several cores, which end when the process that needs their work does."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def workers(tasks: int) -> Iterator[ProcessPoolExecutor]:
    """A process per core, at most one per task; tasks that wait are given up where the body raises."""
    with ProcessPoolExecutor(
        min(tasks, len(os.sched_getaffinity(0))),
        # A fork would take over the locks of threads that it does not have.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_end_with_parent,
    ) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """A parent that is killed cannot end its processes, which would wait for work for ever."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
