from pathlib import Path

import pytest

from pipeline.files.damage import DamageError
from pipeline.files.digests import DIGESTS, check_digests, drop_files, write_digests

FILES = {"model.safetensors": b"weights", "optimizer.pt": b"moments", "global_step4/rank0.pt": b"of a rank"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "checkpoint" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    write_digests(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def flipped(path: Path, at: int = -1) -> None:
    """Flips one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_files_that_are_as_they_were_written_are_named(folder: Path) -> None:
    assert check_digests(folder) == FILES.keys()
    (folder / "README.md").write_text("written later")
    assert check_digests(folder) == FILES.keys()


@pytest.mark.parametrize("befall", [flipped, truncated, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_whatever_befalls_a_file_it_is_named(folder: Path, name: str, befall) -> None:
    befall(folder / name)
    with pytest.raises(DamageError, match="changed on purpose") as damage:
        check_digests(folder)
    assert damage.value.path == folder / name


def test_whatever_bit_of_the_digests_themselves_has_changed_the_folder_is_damaged(folder: Path) -> None:
    record = folder / DIGESTS
    content = record.read_bytes()
    # White space between entries means nothing, so that it may change.
    for at in (at for at, byte in enumerate(content) if chr(byte).isalnum()):
        record.write_bytes(content)
        flipped(record, at)
        with pytest.raises(DamageError):
            check_digests(folder)


def test_a_folder_of_an_older_version_has_nothing_to_compare_and_one_that_is_gone_is_damaged(
    folder: Path,
) -> None:
    (folder / DIGESTS).unlink()
    assert check_digests(folder) is None
    with pytest.raises(DamageError, match="gone"):
        check_digests(folder / "nowhere")


def test_files_that_are_dropped_are_missed_by_nobody_also_where_a_kill_leaves_them(
    folder: Path, monkeypatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr("pipeline.files.digests.remove", lambda path: None)
        drop_files(folder, ["optimizer*", "global_step*"])
    assert check_digests(folder) == {"model.safetensors"}
    drop_files(folder, ["optimizer*", "global_step*"])
    assert sorted(path.name for path in folder.iterdir()) == [DIGESTS, "model.safetensors"]
    assert check_digests(folder) == {"model.safetensors"}
