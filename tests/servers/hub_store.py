"""What a local Hub holds: repositories of commits, branches, tags, pull requests; files by their digest."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

JsonObject = dict[str, Any]
# What the real Hub always keeps in large-file storage, among the files of a dataset.
LARGE_SUFFIXES = (".parquet", ".png", ".zst", ".gz")


class HubError(Exception):
    """An answer that is no success: status, the Hub's code and message."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass(frozen=True)
class Blob:
    """A file's content; `large`: kept outside git, which then holds a pointer to it."""

    data: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def pointer(self) -> bytes:
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n"
        ).encode()

    @property
    def git_oid(self) -> str:
        content = self.pointer if self.large else self.data
        return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()


Files = Mapping[str, Blob]


@dataclass(frozen=True)
class Commit:
    oid: str
    parents: tuple[str, ...]
    title: str
    message: str
    date: datetime
    files: Files


@dataclass
class PullRequest:
    num: int
    title: str
    author: str
    base: str
    created: datetime
    status: Literal["draft", "open", "closed", "merged"] = "draft"
    merge_commit: str | None = None

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.num}"


@dataclass
class Repo:
    """One repository. refs: full names ("refs/heads/main") to commits."""

    kind: str
    name: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    pulls: list[PullRequest] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def new(cls, kind: str, name: str, private: bool) -> "Repo":
        repo = cls(kind, name, private)
        attributes = Blob(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n", large=False)
        repo.commit("refs/heads/main", "initial commit", "", {".gitattributes": attributes}, ())
        return repo

    def at(self, revision: str) -> Commit:
        """The commit of a branch, tag, pull request or (shortened) commit id."""
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name in self.refs:
                return self.commits[self.refs[name]]
        if re.fullmatch(r"[0-9a-f]{7,40}", revision):
            found = [commit for oid, commit in self.commits.items() if oid.startswith(revision)]
            if len(found) == 1:
                return found[0]
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def commit(
        self, ref: str, title: str, message: str, changed: Mapping[str, Blob], removed: Iterable[str],
        parents: tuple[str, ...] = (),
    ) -> Commit:  # fmt: skip
        """A new commit on the ref: its files with these changed and without those removed."""
        head = self.refs.get(ref)
        files = dict(self.commits[head].files) if head else {}
        for path in removed:
            inside = [name for name in files if name == path or name.startswith(path.rstrip("/") + "/")]
            if not inside:
                raise HubError(404, f'A file with this name doesn\'t exist: "{path}"', "EntryNotFound")
            for name in inside:
                del files[name]
        files |= changed
        parents = parents or ((head,) if head else ())
        tree = "\n".join(f"{path} {blob.git_oid}" for path, blob in sorted(files.items()))
        oid = hashlib.sha1(f"{parents} {title} {len(self.commits)}\n{tree}".encode()).hexdigest()
        commit = Commit(oid, parents, title, message, datetime.now(UTC), files)
        self.commits[oid] = commit
        self.refs[ref] = oid
        return commit

    def history(self, head: Commit) -> list[Commit]:
        """The commit and its first ancestors, the latest first."""
        found = [head]
        while found[-1].parents:
            found.append(self.commits[found[-1].parents[0]])
        return found

    def last_change(self, head: Commit, path: str) -> Commit:
        """The commit that gave the file the content that it has at `head`."""
        wanted, last = head.files[path], head
        for commit in self.history(head):
            if commit.files.get(path) != wanted:
                break
            last = commit
        return last

    def pull(self, num: int) -> PullRequest:
        if not 1 <= num <= len(self.pulls):
            raise HubError(404, "Discussion not found", "DiscussionNotFound")
        return self.pulls[num - 1]

    def open_pull(self, title: str, author: str) -> PullRequest:
        base = self.refs["refs/heads/main"]
        pull = PullRequest(len(self.pulls) + 1, title, author, base, datetime.now(UTC))
        self.pulls.append(pull)
        self.refs[pull.ref] = base
        return pull

    def conflicts(self, pull: PullRequest) -> list[str]:
        """Files that both the pull request and main have changed since they parted."""
        base, ours = self.commits[pull.base].files, self.at("main").files
        theirs = self.at(pull.ref).files
        changed = [path for path in base.keys() | theirs.keys() if base.get(path) != theirs.get(path)]
        return sorted(path for path in changed if ours.get(path) not in (base.get(path), theirs.get(path)))

    def merge(self, num: int) -> Commit:
        pull = self.pull(num)
        if pull.status != "open":
            raise HubError(400, f"This pull request is {pull.status}, only an open one can be merged")
        if self.conflicts(pull):
            raise HubError(409, "This pull request has conflicts")
        base, theirs = self.commits[pull.base].files, self.at(pull.ref).files
        changed = {path: blob for path, blob in theirs.items() if base.get(path) != blob}
        removed = [path for path in base if path not in theirs and path in self.at("main").files]
        parents = (self.at("main").oid, self.at(pull.ref).oid)
        commit = self.commit("refs/heads/main", f"{pull.title} (#{pull.num})", "", changed, removed, parents)
        pull.status, pull.merge_commit = "merged", commit.oid
        return commit
