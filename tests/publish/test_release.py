"""Releasing to the Hub: at once and whole, again without effect, and never half."""

import shutil

import pytest
from huggingface_hub import HfApi

from pipeline.publish.hub import HubError
from pipeline.publish.release import Release
from pipeline.run.store import StoreError
from tests.publish.conftest import NAME, Publisher
from tests.records.rows import MEMENTOS, memento, row
from tests.servers.hub import Fault, Hub
from tests.servers.hub_store import Blob, Repo

pytestmark = pytest.mark.slow


def contents(publisher: Publisher) -> dict[str, bytes]:
    folder = publisher.root / "publish"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def data_of(hub: Hub, revision: str = "main") -> dict[str, bytes]:
    """What is on the Hub besides the card and git's own file."""
    files = hub.files(NAME, revision)
    return {path: data for path, data in files.items() if path not in ("README.md", ".gitattributes")}


def test_a_release_puts_every_file_on_main_and_tags_it(hub: Hub, publisher: Publisher) -> None:
    publisher.write("t0", "t1")
    done = publisher.release(tag="v1")
    local = contents(publisher)
    card = local.pop("README.md")
    assert data_of(hub) == local
    assert hub.files(NAME)["README.md"].decode() == (
        card.decode().replace('dataset = "."  # the path of this folder', f'dataset = "{NAME}"')
        + "\n## Changes\n\n- **v1**: 2 traces (2 new)\n"
    )
    repo = hub.dataset(NAME)
    assert repo.refs["refs/tags/v1"] == repo.refs["refs/heads/main"] == done.commit
    assert [pull.status for pull in repo.pulls] == ["merged"]
    assert (done.url, done.rows.rows, done.released) == (f"{hub.url}/datasets/{NAME}", 2, True)


def test_nothing_new_commits_nothing(hub: Hub, publisher: Publisher) -> None:
    publisher.write("t0")
    first = publisher.release(tag="v1")
    commits = len(hub.dataset(NAME).commits)
    again = publisher.release(tag="v1")
    assert (again.released, again.files, again.commit) == (False, [], first.commit)
    assert len(hub.dataset(NAME).commits) == commits
    assert len(hub.dataset(NAME).pulls) == 1


def test_a_data_set_without_rows_is_never_released(hub: Hub, publisher: Publisher) -> None:
    publisher.write("t0")
    publisher.release(tag="v1")
    released = hub.files(NAME)
    shutil.rmtree(publisher.root)
    publisher.write()
    with pytest.raises(StoreError, match=r"has no rows, so .* is left as it is"):
        publisher.release(tag="v2")
    assert hub.files(NAME) == released


def test_a_dry_run_tells_the_change_and_makes_none(hub: Hub, publisher: Publisher) -> None:
    publisher.write("t0")
    done = publisher.release(dry_run=True, tag="v1")
    assert not hub.repos
    assert {change.path for change in done.files} == set(contents(publisher))
    assert all(change.before is None for change in done.files)
    assert not [asked for asked in hub.seen if not asked.startswith("GET")]


def test_files_of_an_earlier_release_that_are_gone_are_deleted_others_stay(
    hub: Hub, publisher: Publisher
) -> None:
    publisher.write("t0")
    publisher.release()
    api = HfApi(endpoint=hub.url)
    for path in ("data/train-00001-of-00002.parquet", "LICENSE"):
        api.upload_file(path_or_fileobj=b"x", path_in_repo=path, repo_id=NAME, repo_type="dataset")
    publisher.write("t0", "t1")
    done = publisher.release()
    assert "data/train-00001-of-00002.parquet" in {c.path for c in done.files if c.kind == "removed"}
    assert hub.files(NAME)["LICENSE"] == b"x"
    assert data_of(hub).keys() == (contents(publisher).keys() - {"README.md"}) | {"LICENSE"}


def test_the_card_lists_releases_with_their_new_gone_and_rewritten_traces(
    hub: Hub, publisher: Publisher
) -> None:
    publisher.write("t0", "t1")
    publisher.release(tag="auto")
    publisher.write("t1", "t2", "t3")
    done = publisher.release(tag="auto")
    assert (done.tag, done.rows.new, done.rows.gone, done.rows.rewritten) == ("v2", 2, 1, 0)
    lines = hub.files(NAME)["README.md"].decode().split("## Changes\n\n")[1].splitlines()
    assert lines == ["- **v2**: 3 traces (2 new, 1 gone)", "- **v1**: 2 traces (2 new)"]
    assert data_of(hub, "v1") != data_of(hub, "v2")


def test_a_trace_whose_memento_has_changed_counts_as_rewritten(hub: Hub, publisher: Publisher) -> None:
    publisher.write("t0", "t1")
    publisher.release()
    publisher.write("t0", row("t1", mementos=[memento("30 + 12 = 42."), memento(MEMENTOS[1])]))
    rows = publisher.release().rows
    assert (rows.rows, rows.new, rows.gone, rows.rewritten) == (2, 0, 0, 1)
    lines = hub.files(NAME)["README.md"].decode().split("## Changes\n\n")[1].splitlines()
    assert lines[0] == "- untagged: 2 traces (1 rewritten)"


FAULTS = {
    "while opening the pull request": Fault("/discussions", after=1, times=99, status=400),
    "before the upload": Fault("/preupload", times=99, status=400),
    "in the middle of an upload": Fault("PUT /storage", after=1, times=99, status=400),
    "at the commit": Fault("/commit/", times=99, status=400),
    "while reading back": Fault("/resolve/", times=99, status=400),
    "at the merge": Fault("/merge", times=99, status=400),
}


@pytest.mark.parametrize("when", FAULTS)
def test_an_interrupted_release_leaves_main_as_it_was_and_the_next_goes_on(
    hub: Hub, publisher: Publisher, when: str
) -> None:
    publisher.write("t0")
    publisher.release(tag="v1")
    before = hub.files(NAME)
    publisher.write("t0", "t1")
    fault = FAULTS[when]
    hub.faults = [Fault(fault.on, fault.status, fault.times, fault.after)]
    with pytest.raises(HubError):
        publisher.release(tag="v2")
    assert hub.files(NAME) == before
    assert "refs/tags/v2" not in hub.dataset(NAME).refs
    hub.faults = []
    assert publisher.release(tag="v2").released
    assert data_of(hub).keys() == contents(publisher).keys() - {"README.md"}
    statuses = [pull.status for pull in hub.dataset(NAME).pulls]
    assert statuses == ["merged", "merged"]
    assert not list(publisher.root.glob(".release*"))


def test_what_was_uploaded_before_an_interruption_is_not_uploaded_again(
    hub: Hub, publisher: Publisher
) -> None:
    publisher.write("t0")
    hub.faults = [Fault("/commit/", times=99, status=400)]
    with pytest.raises(HubError):
        publisher.release()
    uploaded, hub.faults = hub.uploaded_bytes, []
    publisher.release()
    assert hub.uploaded_bytes == uploaded


def test_an_old_pull_request_is_closed_once_main_has_moved_on(hub: Hub, publisher: Publisher) -> None:
    publisher.write("t0")
    hub.faults = [Fault("/merge", times=1, status=400)]
    with pytest.raises(HubError):
        publisher.release()
    api = HfApi(endpoint=hub.url)
    api.upload_file(path_or_fileobj=b"x", path_in_repo="LICENSE", repo_id=NAME, repo_type="dataset")
    publisher.release()
    assert [pull.status for pull in hub.dataset(NAME).pulls] == ["closed", "merged"]
    assert hub.files(NAME)["LICENSE"] == b"x"


def test_a_merge_whose_answer_was_lost_counts_as_merged(hub: Hub, publisher: Publisher) -> None:
    publisher.write("t0")
    hub.faults = [Fault("/merge", status=503, headers={"Retry-After": "0"}, done=True)]
    assert publisher.release().released
    assert len(hub.dataset(NAME).pulls) == 1


@pytest.mark.parametrize("on", ["/whoami", "/repos/create", "/discussions", "/merge", "/tag/"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_is_waited_for_and_it_is_said(
    hub: Hub, publisher: Publisher, on: str, status: int
) -> None:
    publisher.write("t0")
    hub.faults = [Fault(on, status, headers={"Retry-After": "0"})]
    assert publisher.release(tag="v1").released
    assert [line for line in publisher.told if f"answered {status}" in line and "asking again" in line]


def test_a_revision_that_is_not_what_was_uploaded_is_not_merged(
    hub: Hub, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.write("t0")
    original = Repo.commit

    def spoiled(self: Repo, ref: str, title: str, message: str, changed: dict, removed: list, *more: object):
        damaged = {
            path: type(blob)(blob.data[:-1] + b"?", blob.large) if path.startswith("full/") else blob
            for path, blob in changed.items()
        }
        return original(self, ref, title, message, damaged, removed, *more)

    monkeypatch.setattr(Repo, "commit", spoiled)
    with pytest.raises(HubError, match=r"full/train-00000-of-00001\.parquet .* not what was uploaded"):
        publisher.release()
    assert hub.files(NAME).keys() == {".gitattributes"}


def test_a_release_interrupted_before_its_tag_is_tagged_by_the_next(hub: Hub, publisher: Publisher) -> None:
    hub.faults = [Fault("/tag/", 400)]
    publisher.write("t0")
    with pytest.raises(HubError):
        publisher.release(tag="v1")
    assert publisher.release(tag="v1").commit == hub.dataset(NAME).refs["refs/tags/v1"]


def test_a_private_repository_is_created_private(hub: Hub, publisher: Publisher) -> None:
    publisher.write("t0")
    publisher.release(private=True)
    assert hub.dataset(NAME).private


def test_a_published_folder_that_is_gone_is_written_again_with_the_same_bytes(
    hub: Hub, publisher: Publisher
) -> None:
    publisher.write("t0", license="mit")
    before = contents(publisher)
    shutil.rmtree(publisher.root / "publish")
    assert publisher.release().released
    assert contents(publisher) == before


def test_what_will_change_is_shown_before_it_does(hub: Hub, publisher: Publisher) -> None:
    publisher.write("t0")
    publisher.release()
    publisher.write("t0", "t1")
    shown: list[Release] = []

    def show(planned: Release) -> None:
        assert [pull.status for pull in hub.dataset(NAME).pulls] == ["merged"]
        shown.append(planned)

    done = publisher.release(show=show)
    assert [(planned.files, planned.rows) for planned in shown] == [(done.files, done.rows)]
    assert publisher.release(show=show).files == []
    assert len(shown) == 1


def test_what_a_killed_release_left_behind_stops_neither_a_build_nor_a_release(
    hub: Hub, publisher: Publisher
) -> None:
    run = publisher.write("t0")
    (run.root / ".release.killed.tmp").mkdir()
    with run.lock():
        publisher.release()
    assert not list(run.root.glob(".release*"))


def add(hub: Hub, path: str) -> None:
    """Somebody else's commit to main."""
    api = HfApi(endpoint=hub.url)
    api.upload_file(path_or_fileobj=b"x", path_in_repo=path, repo_id=NAME, repo_type="dataset")


def test_a_change_of_main_during_the_release_is_not_merged_over(
    hub: Hub, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.write("t0")
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.publish.release.verify", lambda *_: add(hub, "data/train-extra.parquet"))
        with pytest.raises(HubError, match=r"somebody has changed org/mementos .* nothing was merged"):
            publisher.release(tag="v1")
    assert hub.files(NAME).keys() == {".gitattributes", "data/train-extra.parquet"}


def test_a_change_of_main_at_the_moment_of_the_merge_is_found_and_not_tagged(
    hub: Hub, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.write("t0")
    publisher.release(tag="v1")
    publisher.write("t0", "t1")
    merge = Repo.merge

    def late(self: Repo, number: int) -> object:
        self.commit("refs/heads/main", "extra", "", {"data/train-extra.parquet": Blob(b"x", large=True)}, [])
        return merge(self, number)

    with monkeypatch.context() as patched:
        patched.setattr(Repo, "merge", late)
        with pytest.raises(HubError, match=r"data/train-extra\.parquet .* mixture"):
            publisher.release(tag="v2")
    assert "refs/tags/v2" not in hub.dataset(NAME).refs
    assert publisher.release(tag="v2").released
    assert data_of(hub).keys() == contents(publisher).keys() - {"README.md"}


def test_the_tag_is_the_merges_though_main_has_moved_on(
    hub: Hub, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.write("t0")
    merge = Repo.merge

    def moved_on(self: Repo, number: int) -> None:
        merge(self, number)
        self.commit("refs/heads/main", "later", "", {"LICENSE": Blob(b"x", large=False)}, [])

    monkeypatch.setattr(Repo, "merge", moved_on)
    commit = publisher.release(tag="v1").commit
    repo = hub.dataset(NAME)
    assert repo.refs["refs/tags/v1"] == commit == repo.pulls[0].merge_commit
    assert repo.refs["refs/heads/main"] != commit


def test_an_automatic_tag_that_an_interruption_left_out_is_made_by_the_next_release(
    hub: Hub, publisher: Publisher
) -> None:
    hub.faults = [Fault("/tag/", 400)]
    publisher.write("t0")
    with pytest.raises(HubError):
        publisher.release(tag="auto")
    assert publisher.release(tag="auto").tag == "v1"
    repo = hub.dataset(NAME)
    assert repo.refs["refs/tags/v1"] == repo.refs["refs/heads/main"]
    assert len(repo.pulls) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("on", ["/preupload", "PUT /storage", "/commit/", "/resolve/", "/tree/"])
def test_a_wait_is_said_whether_the_clients_or_ours(
    hub: Hub, publisher: Publisher, on: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    publisher.write("t0")
    hub.faults = [Fault(on, status, headers={"Retry-After": "0"})]
    assert publisher.release().released
    assert [line for line in publisher.told if str(status) in line]
    assert not [line for line in publisher.told if "\n" in line or hub.token in line]
