"""A published revision read back and compared with the folder it was made from."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem

from pipeline.files.atomic import file_digest
from pipeline.publish.hub import Hub, HubError
from pipeline.publish.rows import CONFIGURATIONS

_CHUNK = 8 * 2**20


def verify(hub: Hub, revision: str, folder: Path, files: Mapping[str, Path]) -> None:
    """Raises HubError where the revision is not what these files are: bytes, columns, rows, first rows.

    files: by their path in the repository. Every byte is read back; memory stays flat.
    """
    filesystem = HfFileSystem(endpoint=hub.api.endpoint, skip_instance_cache=True)
    for path, local in files.items():
        address = f"datasets/{hub.repo}@{revision.replace('/', '%2F')}/{path}"
        digest = hub.call(f"read {path} back", _digest, filesystem, address)
        if digest != file_digest(local):
            raise HubError(
                f"{path} at {revision} of {hub.repo} is not what was uploaded; main is as it was. "
                "Publish again"
            )
    for configuration in CONFIGURATIONS:
        name, part = configuration.name, folder / configuration.folder
        hub.call(f"load {name} back", _check_loading, hub, revision, name, part)


def _digest(filesystem: HfFileSystem, address: str) -> str:
    digest = hashlib.sha256()
    with filesystem.open(address, "rb", block_size=_CHUNK) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _check_loading(hub: Hub, revision: str, name: str, folder: Path) -> None:
    """What the card promises of a configuration, against the footers of its files."""
    # It takes a second to import, which only a release need wait.
    from datasets import Features, load_dataset, load_dataset_builder

    builder = load_dataset_builder(hub.repo, name, revision=revision)
    splits = builder.info.splits or {}
    local: dict[str, int] = {}
    for path in sorted(folder.glob("*.parquet")):
        split = path.name.split("-")[0]
        local[split] = local.get(split, 0) + pq.read_metadata(path).num_rows
    promised = {split: info.num_examples for split, info in splits.items()}
    if promised != local:
        raise HubError(f"{name} at {revision} of {hub.repo} has rows {promised}, the folder has {local}")
    for split, rows in local.items():
        found = load_dataset(hub.repo, name, revision=revision, split=split, streaming=True)
        schema = pq.read_schema(sorted(folder.glob(f"{split}-*.parquet"))[0])
        if found.features != Features.from_arrow_schema(schema):
            raise HubError(f"{name}/{split} at {revision} of {hub.repo} loads with other columns")
        if rows and next(iter(found), None) is None:
            raise HubError(f"{name}/{split} at {revision} of {hub.repo} loads without rows")
