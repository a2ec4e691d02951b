"""Where the tasks of a flow run: threads of this process."""

from prefect.task_runners import ThreadPoolTaskRunner

from pipeline.config import BuildConfig
from pipeline.stages import STAGES


def task_runner(build: BuildConfig) -> ThreadPoolTaskRunner:  # type: ignore[type-arg]
    """A runner that works on `shards_at_once` shards.

    A task that waits for the stage before it holds a thread, so a shard needs one for each of its stages.
    """
    return ThreadPoolTaskRunner(max_workers=build.shards_at_once * len(STAGES))
