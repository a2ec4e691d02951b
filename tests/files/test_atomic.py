import errno
import os
from pathlib import Path

import pytest

from pipeline.files.atomic import WriteError, remove_leftovers, replacing, write_json


def write_half(path: Path, number: int) -> None:
    """Begins to write and then meets an error of the system."""
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(number, "said otherwise by a library")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free space"), (errno.EDQUOT, "free space"), (errno.EROFS, "make the folder writable")],
)
def test_a_file_that_cannot_be_written_is_named_with_the_remedy_and_the_old_one_stays(
    tmp_path: Path, number: int, remedy: str
) -> None:
    path = tmp_path / "run.json"
    write_json({"a": 1}, path)
    before = path.read_bytes()
    with pytest.raises(WriteError) as failure:
        write_half(path, number)
    told, what_to_do = str(failure.value).splitlines()
    assert told == f"{path}: {os.strerror(number)}"
    assert what_to_do.strip().startswith(remedy)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_that_may_pass_stays_what_it_is(tmp_path: Path) -> None:
    """The flow tries these again."""
    with pytest.raises(OSError, match="said otherwise"):
        write_half(tmp_path / "run.json", errno.EIO)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_whole_and_one_that_was_begun_leaves_nothing(tmp_path: Path) -> None:
    """Models and published folders are written like files."""
    model = tmp_path / "model"
    write_folder(model, "old", "gone")
    write_folder(model, "new")
    assert [path.name for path in model.iterdir()] == ["new"]
    with pytest.raises(WriteError):
        write_half_a_folder(model)
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["model", "model/new"]


def write_half_a_folder(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "half").write_text("half")
        raise OSError(errno.ENOSPC, "full")


def write_folder(path: Path, *names: str) -> None:
    with replacing(path) as temporary:
        temporary.mkdir()
        for name in names:
            (temporary / name).write_text(name)


def test_the_old_folder_stays_where_the_new_one_cannot_take_its_place(tmp_path: Path, monkeypatch) -> None:
    model = tmp_path / "model"
    write_folder(model, "old")
    rename, renamed = Path.rename, list[Path]()

    def second_fails(self: Path, target: Path) -> Path:
        renamed.append(self)
        if len(renamed) == 2:
            raise OSError(errno.EIO, "a bad moment")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(OSError, match="a bad moment"):
        write_folder(model, "new")
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["model", "model/old"]


def test_what_killed_writers_have_left_is_removed_whatever_it_is_and_nothing_else(tmp_path: Path) -> None:
    run, mine = tmp_path / "run", tmp_path / "mine"
    for path in (mine / "kept", run / "report" / ".page.a.tmp", run / ".hidden", run / "a.tmp"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kept")
    for folder in (run / ".model.a.tmp" / "x", run / "full" / ".model.b.tmp" / ".y.c.tmp"):
        folder.mkdir(parents=True)
        (folder / "half").write_text("half")
    (run / "full" / ".run.json.d.tmp").write_text("half")
    (run / ".release.e.tmp").symlink_to(mine)
    (run / "link").symlink_to(mine)
    remove_leftovers(run, but=run / "report")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "mine/kept", "run/.hidden", "run/a.tmp", "run/report/.page.a.tmp"
    ]  # fmt: skip
    assert sorted(path.name for path in run.iterdir()) == [".hidden", "a.tmp", "full", "link", "report"]


def test_a_leftover_that_cannot_be_removed_is_told_and_ends_nothing(
    tmp_path: Path, monkeypatch, caplog
) -> None:
    for name in ("a", "b"):
        (tmp_path / f".{name}.tmp").mkdir()

    def refused(path: Path) -> None:
        if path.name == ".a.tmp":
            raise PermissionError(errno.EACCES, "not yours")
        path.rmdir()

    monkeypatch.setattr("pipeline.files.atomic.remove", refused)
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".a.tmp"]
    assert f"{tmp_path / '.a.tmp'}: left by a run that was killed, cannot be removed" in caplog.text
