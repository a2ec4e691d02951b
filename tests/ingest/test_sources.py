import os
from pathlib import Path

import pytest

from pipeline.config import SourceConfig
from pipeline.ingest.sources import SourceError, SourceFile, find_files, splits_told


def found(*paths: str, revision: str | None = None) -> list[str]:
    return [file.path for file in find_files(SourceConfig(paths=paths, revision=revision))]


def origins(*paths: str) -> list[str]:
    return [file.origin for file in find_files(SourceConfig(paths=paths))]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.jsonl", "a.parquet", "deep/er/c.jsonl.gz", "deep/d.jsonl.zst"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for name in ("notes.txt", ".hidden.jsonl", ".cache/e.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_stands_for_all_its_trace_files_and_no_hidden_ones(tree: Path) -> None:
    names = ["a.parquet", "b.jsonl", "deep/d.jsonl.zst", "deep/er/c.jsonl.gz"]
    assert found(str(tree)) == [f"{tree}/{name}" for name in names]


def test_a_hidden_parent_of_the_folder_hides_nothing(tree: Path) -> None:
    assert found(str(tree / ".cache")) == [f"{tree}/.cache/e.jsonl"]


def test_a_pattern_finds_what_it_matches(tree: Path) -> None:
    assert found("deep/**/*.jsonl.*") == [f"{tree}/deep/d.jsonl.zst", f"{tree}/deep/er/c.jsonl.gz"]


def test_the_order_of_the_paths_does_not_matter_and_a_file_is_read_once(tree: Path) -> None:
    assert found("b.jsonl", "*.parquet", "b.jsonl", "*.jsonl") == [f"{tree}/a.parquet", f"{tree}/b.jsonl"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("b.jsonl", ["b.jsonl"]),
        ("deep/er", ["c.jsonl.gz"]),
        ("deep", ["d.jsonl.zst", "er/c.jsonl.gz"]),
        ("deep/**/c.*", ["er/c.jsonl.gz"]),
        ("d[de]ep/*", ["deep/d.jsonl.zst"]),
    ],
)
def test_origins_are_the_same_from_wherever_the_path_is_written(
    tree: Path, monkeypatch: pytest.MonkeyPatch, path: str, expected: list[str]
) -> None:
    assert origins(path) == origins(f"{tree}/{path}") == expected
    monkeypatch.chdir(tree / "deep")
    assert origins(f"../{path}") == expected


def test_files_of_one_name_are_told_apart_by_their_folders(tree: Path) -> None:
    for name in ("one/x.jsonl", "two/x.jsonl", "two/y.jsonl"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(b"")
    assert origins("two", "one") == ["one/x.jsonl", "two/x.jsonl", "y.jsonl"]


def test_a_file_that_two_paths_match_has_one_origin_whatever_their_order(tree: Path) -> None:
    assert origins("deep", "deep/er") == origins("deep/er", "deep") == ["c.jsonl.gz", "d.jsonl.zst"]


def test_a_name_with_pattern_signs_is_found_as_it_is(tree: Path) -> None:
    (tree / "part[1].jsonl").write_bytes(b"")
    assert found("part[1].jsonl") == [f"{tree}/part[1].jsonl"]
    assert origins("part[1].jsonl") == ["part[1].jsonl"]


def test_a_changed_file_has_another_version(tree: Path) -> None:
    def version() -> SourceFile:
        return find_files(SourceConfig(paths=("b.jsonl",)))[0]

    before = version()
    assert version() == before
    (tree / "b.jsonl").write_bytes(b"{}")
    longer = version()
    assert longer != before
    os.utime(tree / "b.jsonl", ns=(1, 1))
    assert version() != longer


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("b.jsnl", "did you mean .*/b.jsonl"),
        ("dep/er/c.jsonl.gz", "did you mean .*/deep"),
        ("wholly/other/x.jsonl", "the nearest folder that exists is"),
        ("notes.txt", "convert it to one of .parquet"),
        ("nosuch://bucket/x.parquet", "nosuch"),
    ],
)
def test_a_path_without_traces_is_refused_with_the_way_out(tree: Path, path: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        found(path)


def test_a_folder_without_traces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no file that ends in \.parquet"):
        found(str(tmp_path))


def test_no_path_at_all_is_refused() -> None:
    with pytest.raises(SourceError, match="--source FILE"):
        found()


def test_any_fsspec_address_is_read() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/traces/x.jsonl", b"{}\n")
    try:
        assert found("memory://traces") == ["memory:///traces/x.jsonl"]
    finally:
        memory.rm("/traces", recursive=True)


@pytest.mark.parametrize(
    ("path", "revision", "address"),
    [
        ("hf://datasets/o/n", "v1", "hf://datasets/o/n@v1"),
        ("hf://datasets/o/n/data/*.parquet", "v1", "hf://datasets/o/n@v1/data/*.parquet"),
        ("hf://datasets/o/n@v1/data", "v1", "hf://datasets/o/n@v1/data"),
        ("hf://datasets/o/n", "refs/pr/1", "hf://datasets/o/n@refs%2Fpr%2F1"),
        ("hf://datasets/o/n@v2/data", None, "hf://datasets/o/n@v2/data"),
        ("/data/x.parquet", "v1", "/data/x.parquet"),
        ("simplecache::hf://datasets/o/n/x.parquet", "v1", "simplecache::hf://datasets/o/n@v1/x.parquet"),
        ("zip://*.jsonl::hf://datasets/o/n/x.zip", "v1", "zip://*.jsonl::hf://datasets/o/n@v1/x.zip"),
    ],
)
def test_hub_addresses_are_pinned_to_the_revision(path: str, revision: str | None, address: str) -> None:
    from pipeline.ingest.sources import pinned

    assert pinned(path, revision) == address


def test_two_revisions_for_one_address_are_refused() -> None:
    with pytest.raises(SourceError, match="leave one of them out"):
        found("hf://datasets/o/n@v1", revision="v2")


def test_an_incomplete_hub_address_is_refused() -> None:
    with pytest.raises(SourceError, match="hf://datasets/organisation/name"):
        found("hf://o/n", revision="v2")


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    for name in ("data/train-0.parquet", "data/test-0.parquet", "validation/a.jsonl", "trainer.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def test_files_of_several_splits_are_told_and_can_be_chosen(splits: Path) -> None:
    files = find_files(SourceConfig(paths=(str(splits),)))
    told = splits_told(files)
    assert told.startswith(
        "reading files of several splits: no split (1), test (1), train (1), validation (1);"
    )
    assert "source.splits: [train]" in told
    one = find_files(SourceConfig(paths=(str(splits),), splits=("train",)))
    assert [file.origin for file in one] == ["data/train-0.parquet", "trainer.jsonl"]
    assert splits_told([file for file in one if file.split]) == ""


def test_a_split_that_no_file_is_of_is_refused_with_those_there_are(splits: Path) -> None:
    with pytest.raises(SourceError, match=r"of source\.splits; the files are of test, train"):
        find_files(SourceConfig(paths=(str(splits / "data"),), splits=("dev",)))


def test_what_datasets_keeps_beside_a_saved_data_set_is_not_read(tmp_path: Path) -> None:
    for name in ("data-00000-of-00001.arrow", "cache-0123abc.arrow", "dataset_info.json", "state.json"):
        (tmp_path / name).touch()
    assert [file.name for file in find_files(SourceConfig(paths=(str(tmp_path),)))] == [
        "data-00000-of-00001.arrow"
    ]


@pytest.mark.parametrize(
    "name", ["a.parquet", "A.PARQUET", "a.parq", "a.arrow", "a.ndjson", "a.JSONL", "a.jsonl.bz2", "a.json.gz"]
)
def test_a_file_is_known_by_its_ending_in_any_case(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (file,) = find_files(SourceConfig(paths=(str(tmp_path / name),)))
    assert file.kind == ("parquet" if "parq" in name.lower() else "arrow" if "arrow" in name else "json")
