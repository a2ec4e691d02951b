import errno
import os
from pathlib import Path

import pytest

from pipeline.files.atomic import WriteError, replacing, write_json


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
