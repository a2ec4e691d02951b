"""Checks what is installed and reachable, and says how to fix what is not."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from pipeline.config import BuildConfig
from pipeline.doctor.installation import engine, packages, python, vocabulary
from pipeline.doctor.item import Item, State
from pipeline.doctor.machine import gpu, machine, prefect, run_folder, sources
from pipeline.doctor.model import api_key, bundled, endpoint, hub_token, model, score_form

__all__ = ["Item", "State", "examine", "examine_inputs"]


def examine(build: BuildConfig, run_root: Path) -> list[Item]:
    """Everything that a build of this config into this folder needs, looked at, at once; about a second.

    Asks no model and loads no engine; waits at most 5 s for an endpoint to list its models.
    """
    llm = build.llm
    looks: Sequence[Callable[[], list[Item]]] = (
        python,
        packages,
        partial(engine, needed=not llm.endpoints),
        partial(gpu, needed=not llm.endpoints),
        partial(machine, run_root, own_engine=not llm.endpoints),
        partial(vocabulary, build.split.tokenizer),
        partial(sources, build.source),
        partial(bundled, llm),
        partial(model, llm),
        partial(score_form, build),
        *(partial(endpoint, url, llm) for url in llm.endpoints),
        partial(api_key, llm),
        hub_token,
        prefect,
        partial(run_folder, run_root),
    )
    return _items(looks)


def examine_inputs(build: BuildConfig) -> list[Item]:
    """What a build reads and asks, looked at from this machine: its sources, its model, its endpoints.

    Asks no model; waits at most 5 s for an endpoint to list its models.
    """
    llm = build.llm
    endpoints = (partial(endpoint, url, llm) for url in llm.endpoints)
    return _items((partial(sources, build.source), partial(model, llm), *endpoints))


def _items(looks: Sequence[Callable[[], list[Item]]]) -> list[Item]:
    with ThreadPoolExecutor(len(looks)) as pool:
        return [item for items in pool.map(lambda look: look(), looks) for item in items]
