"""What cannot be released, and how that is said: one clear line, before anything has changed."""

import shutil

import pytest
from huggingface_hub import HfApi

from pipeline.publish import release_plan
from pipeline.publish.hub import HubError
from pipeline.publish.release import Release, release
from pipeline.run.store import StoreError
from tests.publish.conftest import NAME, Publisher
from tests.records.rows import row
from tests.report.runs import finished_run
from tests.servers.hub import Fault, Hub
from tests.servers.hub_store import Repo

pytestmark = pytest.mark.slow


def released(publisher: Publisher, **options: object) -> Release:
    publisher.write("t0")
    return publisher.release(**options)


def test_without_a_token_it_says_how_to_get_one(hub: Hub, publisher: Publisher, monkeypatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("pipeline.publish.hub.get_token", lambda: None)
    with pytest.raises(HubError, match="HF_TOKEN"):
        released(publisher)


def test_a_wrong_token_is_refused_in_one_line_that_does_not_show_it(
    hub: Hub, publisher: Publisher, monkeypatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_secret")
    with pytest.raises(HubError, match="write permission") as refused:
        released(publisher)
    assert "hf_wrong_secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_token_that_a_server_echoes_is_blotted_out(hub: Hub, publisher: Publisher) -> None:
    hub.faults = [Fault("/repos/create", 400, message=f"bad request from {hub.token}")]
    with pytest.raises(HubError, match="hf_…") as refused:
        released(publisher)
    assert hub.token not in str(refused.value)


def test_a_token_without_the_right_is_told_so(hub: Hub, publisher: Publisher) -> None:
    hub.tokens[hub.token] = ("maker", "read")
    with pytest.raises(HubError, match="may not write to org/mementos"):
        released(publisher)


def test_the_name_of_a_model_is_refused(hub: Hub, publisher: Publisher) -> None:
    hub.repos["model", NAME] = Repo.new("model", NAME, private=False)
    with pytest.raises(HubError, match="name of a model"):
        released(publisher)


def test_somebody_elses_dataset_is_not_overwritten(hub: Hub, publisher: Publisher) -> None:
    api = HfApi(endpoint=hub.url)
    api.create_repo(NAME, repo_type="dataset")
    api.upload_file(
        path_or_fileobj=b"x", path_in_repo="data/train.parquet", repo_id=NAME, repo_type="dataset"
    )
    with pytest.raises(HubError, match="not published from here"):
        released(publisher)


def test_a_tag_of_another_release_is_refused_before_anything_is_uploaded(
    hub: Hub, publisher: Publisher
) -> None:
    released(publisher, tag="v1")
    publisher.write("t0", "t1")
    seen = len(hub.seen)
    with pytest.raises(HubError, match="tag v1 of org/mementos exists already"):
        publisher.release(tag="v1")
    assert all(asked.startswith("GET") for asked in hub.seen[seen:])


def test_a_folder_that_was_changed_by_hand_is_not_released(hub: Hub, publisher: Publisher) -> None:
    publisher.write("t0")
    (publisher.root / "publish/README.md").write_text("mine")
    with pytest.raises(StoreError, match="not as it was written"):
        publisher.release()


def test_an_unpublished_run_is_told_to_build(hub: Hub, publisher: Publisher) -> None:
    publisher.root.mkdir()
    with pytest.raises(StoreError, match="run the build"):
        publisher.release()


def test_a_hub_out_of_reach_is_one_line(publisher: Publisher, hub: Hub, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.publish.hub._BACKOFF", lambda state: 0)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"http://127\.0\.0\.1:9 is out of reach"):
        release_plan.check_target(NAME, publisher.told.append)


def test_a_folder_that_is_gone_is_not_written_from_what_the_run_has_become(
    hub: Hub, publisher: Publisher
) -> None:
    publisher.write("t0")
    shutil.rmtree(publisher.root / "publish")
    finished_run(publisher.root, [row("t0"), row("t1")])
    with pytest.raises(StoreError, match="the run has changed since"):
        publisher.release()


NAMES = [
    "mementos",
    "",
    "org/",
    "/m",
    "a/b/c",
    "org/na me",
    "org/x..y",
    "org/m.git",
    "org/ü",
    "org/" + 99 * "m",
    "https://huggingface.co/datasets/org/mementos",
    "datasets/org/mementos",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_name_is_one_line_that_shows_a_right_one(hub: Hub, publisher: Publisher, name: str) -> None:
    run = publisher.write("t0")
    with pytest.raises(HubError, match=r"^.* give organisation/name, as my-org/mementos .*$"):
        release(run, name, tell=publisher.told.append)
    assert hub.seen == []


def test_a_build_is_told_beforehand_that_a_token_may_only_read(hub: Hub, publisher: Publisher) -> None:
    hub.tokens[hub.token] = ("maker", "read")
    with pytest.raises(HubError, match="may only read"):
        release_plan.check_target(NAME, publisher.told.append)
    publisher.write("t0")
    assert publisher.release(dry_run=True).rows.new == 1
