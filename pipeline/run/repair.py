"""Checks a run folder before a build: damaged files are set aside, so that they are made again."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.files.damage import DamageError, check_file, set_aside
from pipeline.files.sealed_json import read_sealed
from pipeline.run.effort import set_aside_damaged
from pipeline.run.store import Manifest, RunFolder


def repair(run: RunFolder, stages: Sequence[str], tell: Callable[[str], None]) -> None:
    """Sets aside every damaged file of these stages; they count as unfinished from then on.

    All bytes are compared with the digests in the manifests, in threads: a gigabyte takes a core about a
    second, beside what the disk takes; of 228,000 traces all stages come to some 20 GB. What failed is made
    again from the stage before, or from replies on disk. The caller holds the run's lock.
    """
    manifests = [manifest for stage in stages for manifest in _manifests(run, stage)]
    if not manifests:
        return
    tell("checking the files of earlier runs")
    files = [file for manifest in manifests for file in run.files(manifest)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for damage in filter(None, pool.map(_damage, files)):
            set_aside(damage)


def repair_records(run: RunFolder) -> None:
    """Sets aside what is damaged of the records that every build writes anew, and of what traces took."""
    set_aside_damaged(run)
    for record in (run.config_file, run.totals):
        try:
            read_sealed(record, always=False)
        except FileNotFoundError:
            pass
        except DamageError as damage:
            set_aside(damage)


def _manifests(run: RunFolder, stage: str) -> Iterable[Manifest]:
    for shard in run.shards(stage):
        try:
            manifest = run.read_manifest(stage, shard)
        except DamageError as damage:
            set_aside(damage)
            continue
        if manifest is not None:
            yield manifest


def _damage(file: tuple[Path, int, str]) -> DamageError | None:
    try:
        check_file(*file)
    except DamageError as damage:
        return damage
    return None
