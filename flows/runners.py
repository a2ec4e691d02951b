"""Where the tasks of a flow run: threads of this process."""

from prefect.task_runners import ThreadPoolTaskRunner

from pipeline.config import BuildConfig


def task_runner(build: BuildConfig) -> ThreadPoolTaskRunner:  # type: ignore[type-arg]
    """A runner with a thread for each of the shards that are worked on at once."""
    return ThreadPoolTaskRunner(max_workers=build.shards_at_once)
