"""A release: the published folder of a run, put on the Hub in one piece, verified before anybody sees it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from pipeline.files.atomic import temporary_beside
from pipeline.publish.changes import change_line, changes_of, released_card
from pipeline.publish.difference import CARD, OWNED, FileChange, RowChange, file_changes
from pipeline.publish.hub import Hub, HubError
from pipeline.publish.local import whole_files
from pipeline.publish.release_plan import ReleasePlan, plan_release
from pipeline.publish.verify import verify
from pipeline.run.store import RunFolder, StoreError

_TITLE = "Release by openmementos"


@dataclass(frozen=True)
class Release:
    """What was, or with a dry run would be, released. commit: head of main afterwards; None without one."""

    url: str
    commit: str | None
    tag: str | None
    released: bool
    files: list[FileChange]
    rows: RowChange

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def release(
    run: RunFolder,
    to: str,
    *,
    private: bool = False,
    tag: str | None = None,
    dry_run: bool = False,
    tell: Callable[[str], None],
    show: Callable[[Release], None] | None = None,
) -> Release:
    """Puts RUN/publish on the Hub as the dataset `to`; commits nothing where nothing is new.

    The files go to a pull request, are read back from there and compared, then merged, so that main changes
    at once and whole. An interrupted release leaves main as it was, and the next one goes on with its pull
    request. tag: "auto" for the next of v1, v2, …, given only where something changed. tell gets a line for
    each step; show gets what will change, before it does. The caller holds the run's lock. Raises HubError,
    StoreError where there is no row to publish or the folder is not as it was written.
    """
    files = whole_files(run, tell)
    hub = Hub(to, tell)
    user = hub.user()
    plan = plan_release(hub, run.publish, files)
    if not plan.rows.rows:
        raise StoreError(
            f"{run.publish}: has no rows, so {hub.url} is left as it is; see RUN/run.json for why"
        )
    wanted = plan.tag(tag)
    planned = Release(hub.url, plan.head.sha if plan.head else None, wanted, False, plan.files, plan.rows)
    if show and (plan.files or dry_run):
        show(planned)
    if dry_run:
        return planned
    if not plan.files and plan.head:
        tell(f"nothing new: {hub.url} is as {run.publish}")
        if wanted and wanted not in plan.tags:
            _make_tag(hub, wanted, str(plan.head.sha))
        return Release(hub.url, plan.head.sha, wanted, False, [], plan.rows)
    main = str(plan.head.sha) if plan.head else _created(hub, private)
    number = _pull_request(hub, user, main)
    with _staged(run, files, plan, wanted) as staged:
        _upload(hub, number, staged, wanted, plan.files)
        tell("reading it back and comparing")
        verify(hub, f"refs/pr/{number}", run.publish, {path: staged / path for path in files})
    commit = _merge(hub, number, main)
    _check_merged(hub, commit, run.publish, files)
    if wanted:
        _make_tag(hub, wanted, commit)
    return Release(hub.url, commit, wanted, True, plan.files, plan.rows)


def _created(hub: Hub, private: bool) -> str:
    hub.tell(f"creating {hub.url}{' (private)' if private else ''}")
    hub.call(
        "create the repository",
        hub.api.create_repo,
        hub.repo,
        repo_type="dataset",
        private=private,
        exist_ok=True,
    )
    return str(hub.call("look at it", hub.api.dataset_info, hub.repo).sha)


def _pull_request(hub: Hub, user: str, main: str) -> int:
    """Number of this release's pull request: the one of an interrupted release, or a new one."""

    def unmerged() -> list[int]:
        found = hub.api.get_repo_discussions(hub.repo, repo_type="dataset")
        return [
            one.num
            for one in found
            if one.is_pull_request
            and one.status in ("draft", "open")
            and one.author == user
            and one.title == _TITLE
        ]

    reusable = None
    for number in hub.call("list pull requests", unmerged):
        revision = f"refs/pr/{number}"
        commits = hub.call(
            "look at a pull request",
            hub.api.list_repo_commits,
            hub.repo,
            repo_type="dataset",
            revision=revision,
        )
        if reusable is None and main in {commit.commit_id for commit in commits}:
            reusable = number
        else:
            # Main has moved on since it was opened.
            hub.call(
                "close an old pull request",
                hub.api.change_discussion_status,
                hub.repo,
                number,
                "closed",
                repo_type="dataset",
            )
    if reusable:
        hub.tell(f"going on with pull request {reusable}")
        return reusable
    opened = hub.call(
        "open a pull request",
        hub.api.create_pull_request,
        hub.repo,
        _TITLE,
        repo_type="dataset",
        description=_TITLE,
    )
    return int(opened.num)


@contextmanager
def _staged(run: RunFolder, files: dict[str, str], plan: ReleasePlan, tag: str | None) -> Iterator[Path]:
    """The folder to upload: the run's files, linked, and the card of this release."""
    with temporary_beside(run.root / "release") as folder:
        for path in files:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to((run.publish / path).absolute())
        card = (run.publish / CARD).read_text(encoding="utf-8")
        earlier = changes_of(plan.card) if plan.card else []
        (folder / CARD).unlink()
        lines = [change_line(tag, plan.rows), *earlier]
        (folder / CARD).write_text(released_card(card, plan.repo, lines), encoding="utf-8")
        yield folder


def _upload(hub: Hub, number: int, folder: Path, tag: str | None, changes: list[FileChange]) -> None:
    new = [change.after for change in changes if change.after is not None]
    hub.tell(f"uploading {len(new)} files ({decimal(sum(new))}) to pull request {number}")
    hub.call(
        "upload the files",
        hub.api.upload_folder,
        repo_id=hub.repo,
        repo_type="dataset",
        folder_path=folder,
        revision=f"refs/pr/{number}",
        commit_message=f"Release {tag}" if tag else "Release",
        delete_patterns=list(OWNED),
    )


def _make_tag(hub: Hub, tag: str, commit: str) -> None:
    hub.call(
        f"tag {tag}",
        hub.api.create_tag,
        hub.repo,
        tag=tag,
        revision=commit,
        repo_type="dataset",
        exist_ok=True,
    )


def _merge(hub: Hub, number: int, main: str) -> str:
    """The commit that main has by it. main: the commit that the release was planned on."""

    def details() -> Any:
        return hub.api.get_discussion_details(hub.repo, number, repo_type="dataset")

    def merge() -> None:
        # Asked anew each time: an answer that was lost may have been a merge.
        status = details().status
        if status == "merged":
            return
        if hub.api.dataset_info(hub.repo).sha != main:
            raise HubError(f"somebody has changed {hub.repo} since this release was planned")
        if status == "draft":
            hub.api.change_discussion_status(hub.repo, number, "open", repo_type="dataset")
        hub.api.merge_pull_request(hub.repo, number, repo_type="dataset")

    hub.tell(f"merging pull request {number}")
    try:
        hub.call("merge", merge)
    except HubError as error:
        raise HubError(f"{error}; nothing was merged. Publish again to go on") from None
    return str(hub.call("look at the merge", details).merge_commit_oid)


def _check_merged(hub: Hub, commit: str, folder: Path, files: dict[str, str]) -> None:
    """Raises HubError where main has other files than this release: somebody was faster than the merge."""
    merged = hub.call("look at main", hub.api.dataset_info, hub.repo, revision=commit, files_metadata=True)
    foreign = [change.path for change in file_changes(folder, files, merged, same_card=True)]
    if foreign:
        raise HubError(
            f"somebody has changed {', '.join(foreign)} of {hub.repo} while this release was merged: "
            "main is a mixture of both. Publish again, which puts it right"
        )
