"""What is published now, and what a run's folder would change; or why it cannot be released there."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import DatasetInfo

from pipeline.publish.changes import changes_of, latest_tag, released_card
from pipeline.publish.difference import CARD, FileChange, RowChange, file_changes, row_changes
from pipeline.publish.hub import Hub, HubError

NEXT_TAG = "auto"
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NUMBERED = re.compile(r"v(\d+)")


@dataclass(frozen=True)
class ReleasePlan:
    """head: main with its files, None where there is no repository; tags: commits by name; card: its text."""

    repo: str
    head: DatasetInfo | None
    tags: dict[str, str]
    card: str | None
    files: list[FileChange]
    rows: RowChange

    def tag(self, wanted: str | None) -> str | None:
        """The tag to give: the wanted one, or for "auto" the next of v1, v2, … where something changes, and
        the latest release's where nothing does.

        Raises HubError for a tag that cannot be, or stands for something else already.
        """
        if wanted == NEXT_TAG:
            numbers = [int(found[1]) for name in self.tags if (found := _NUMBERED.fullmatch(name))]
            if not self.files:
                # A release that was interrupted before its tag left the tag's name in the card.
                return latest_tag(self.card) if self.card else None
            return f"v{max(numbers, default=0) + 1}"
        if wanted is None:
            return None
        if not _TAG.fullmatch(wanted):
            raise HubError(f"tag {wanted!r}: letters, digits and . _ - only, as v1")
        there = self.tags.get(wanted)
        if there and (self.files or not self.head or there != self.head.sha):
            raise HubError(
                f"tag {wanted} of {self.repo} exists already (commit {there[:8]}): name a new one, "
                f"or --tag {NEXT_TAG}"
            )
        return wanted


def check_target(to: str, tell: Callable[[str], None]) -> None:
    """Raises HubError where it is clear beforehand that a release to this repository cannot be made."""
    hub = Hub(to, tell)
    hub.writer()
    _head(hub)


def plan_release(hub: Hub, folder: Path, files: dict[str, str]) -> ReleasePlan:
    """The plan. files: SHA-256 of each file of `folder` by its path in it. Reads, and changes nothing."""
    head = _head(hub)
    if head is None:
        changes = file_changes(folder, files, None, False)
        return ReleasePlan(hub.repo, None, {}, None, changes, row_changes(_audit(folder), []))
    refs = hub.call("list tags", hub.api.list_repo_refs, hub.repo, repo_type="dataset")
    paths = [sibling.rfilename for sibling in head.siblings or []]
    filesystem = HfFileSystem(endpoint=hub.api.endpoint, skip_instance_cache=True)
    at = f"datasets/{hub.repo}@{head.sha}"

    def table(path: str) -> pa.Table:
        with filesystem.open(f"{at}/{path}", "rb") as file:
            return pq.read_table(file)

    card = None
    if CARD in paths:
        card = hub.call("read the published card", filesystem.read_text, f"{at}/{CARD}", encoding="utf-8")
    here = (folder / CARD).read_text(encoding="utf-8")
    same_card = card is not None and card == released_card(here, hub.repo, changes_of(card))
    published = (hub.call(f"read {path}", table, path) for path in paths if path.startswith("audit/"))
    return ReleasePlan(
        hub.repo,
        head,
        {ref.name: ref.target_commit for ref in refs.tags},
        card,
        file_changes(folder, files, head, same_card),
        row_changes(_audit(folder), published),
    )


def _head(hub: Hub) -> DatasetInfo | None:
    """The repository's main revision; None where there is no such dataset yet."""

    def look() -> DatasetInfo | None:
        try:
            return hub.api.dataset_info(hub.repo, files_metadata=True)
        except RepositoryNotFoundError as error:
            if error.response.status_code != 404:
                raise
            return None

    head = hub.call(f"look at {hub.repo}", look)
    if head is None and hub.call("look for a model of that name", hub.api.repo_exists, hub.repo):
        raise HubError(f"{hub.repo} is the name of a model: name the dataset otherwise with --to")
    paths = {sibling.rfilename for sibling in (head.siblings or [] if head else [])}
    if any(path.endswith(".parquet") for path in paths) and not any(p.startswith("audit/") for p in paths):
        raise HubError(
            f"{hub.repo} holds a dataset that was not published from here, and would be overwritten: name "
            "another with --to, or delete its files first"
        )
    return head


def _audit(folder: Path) -> Iterator[pa.Table]:
    return (pq.read_table(path) for path in sorted((folder / "audit").glob("*.parquet")))
