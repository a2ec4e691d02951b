"""A local Hub's objects as the JSON of the real one."""

from collections.abc import Iterable
from typing import Any

import yaml

from tests.servers.hub_store import Blob, Commit, PullRequest, Repo

JsonObject = dict[str, Any]


def repo_info(repo: Repo, commit: Commit) -> JsonObject:
    siblings = []
    for path, blob in sorted(commit.files.items()):
        sibling = {"rfilename": path, "size": len(blob.data), "blobId": blob.git_oid}
        siblings.append(sibling | large(blob))
    return {
        "_id": repo.name,
        "id": repo.name,
        "author": repo.name.split("/")[0],
        "sha": commit.oid,
        "lastModified": when(commit),
        "createdAt": when(repo.history(commit)[-1]),
        "private": repo.private,
        "gated": False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "cardData": card_data(commit),
        "siblings": siblings,
    }


def card_data(commit: Commit) -> JsonObject | None:
    """The front matter of the commit's README.md."""
    card = commit.files.get("README.md")
    parts = card.data.decode().split("---\n") if card else []
    return yaml.safe_load(parts[1]) if len(parts) > 2 else None


def tree(commit: Commit, folder: str, recursive: bool) -> list[JsonObject]:
    """Files and folders under `folder`, or None where there is nothing of that name."""
    start = f"{folder}/" if folder else ""
    inside = {path: blob for path, blob in commit.files.items() if path.startswith(start)}
    entries: dict[str, JsonObject] = {}
    for path, blob in inside.items():
        parts = path.removeprefix(start).split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            name = start + "/".join(parts[:depth])
            entries[name] = directory(name)
        if recursive or len(parts) == 1:
            entries[path] = file(path, blob)
    return [entries[name] for name in sorted(entries)]


def paths_info(repo: Repo, commit: Commit, paths: Iterable[str], expand: bool) -> list[JsonObject]:
    """Those of the paths that are there; expand: with the commit that changed each last."""
    found = []
    for path in paths:
        if path in commit.files:
            last = repo.last_change(commit, path)
            when_changed = {"lastCommit": {"id": last.oid, "title": last.title, "date": when(last)}}
            found.append(file(path, commit.files[path]) | (when_changed if expand else {}))
        elif any(name.startswith(f"{path.rstrip('/')}/") for name in commit.files):
            found.append(directory(path.rstrip("/")))
    return found


def file(path: str, blob: Blob) -> JsonObject:
    return {"type": "file", "path": path, "size": len(blob.data), "oid": blob.git_oid} | large(
        blob, key="oid"
    )


def large(blob: Blob, key: str = "sha256") -> JsonObject:
    if not blob.large:
        return {}
    return {"lfs": {key: blob.sha256, "size": len(blob.data), "pointerSize": len(blob.pointer)}}


def directory(path: str) -> JsonObject:
    return {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}


def commit_entry(commit: Commit) -> JsonObject:
    return {
        "id": commit.oid,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": "maker"}],
        "date": when(commit),
    }


def refs(repo: Repo) -> JsonObject:
    def named(start: str) -> list[JsonObject]:
        return [
            {"name": ref.removeprefix(start), "ref": ref, "targetCommit": oid}
            for ref, oid in sorted(repo.refs.items())
            if ref.startswith(start)
        ]

    pulls = [
        {"name": ref.removeprefix("refs/"), "ref": ref, "targetCommit": oid}
        for ref, oid in sorted(repo.refs.items())
        if ref.startswith("refs/pr/")
    ]
    return {
        "branches": named("refs/heads/"),
        "tags": named("refs/tags/"),
        "converts": [],
        "pullRequests": pulls,
    }


def discussion(repo: Repo, pull: PullRequest) -> JsonObject:
    return {
        "num": pull.num,
        "title": pull.title,
        "author": {"name": pull.author},
        "createdAt": _time(pull.created),
        "status": pull.status,
        "repo": {"name": repo.name, "type": repo.kind},
        "isPullRequest": True,
    }


def discussion_details(repo: Repo, pull: PullRequest) -> JsonObject:
    unmerged = pull.status in ("draft", "open")
    return discussion(repo, pull) | {
        "events": [],
        "changes": {"base": "refs/heads/main", "mergeCommitId": pull.merge_commit},
        "filesWithConflicts": repo.conflicts(pull) if unmerged else [],
        "diff": "",
    }


def when(commit: Commit) -> str:
    return _time(commit.date)


def _time(moment: Any) -> str:
    return str(moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]) + "Z"
