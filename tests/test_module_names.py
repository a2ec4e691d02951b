"""However a module of ours is started, none of them stands in front of one of the standard library's."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.processes.commands import python_module

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "flows", "schemas", "prompts")


def test_no_module_has_the_name_of_a_standard_one() -> None:
    # `python FOLDER/SCRIPT.py` puts FOLDER in front of the standard library.
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(files) > 100
    named = {path: path.parent.name if path.name == "__init__.py" else path.stem for path in files}
    assert not [path for path, name in named.items() if name in sys.stdlib_module_names]


@pytest.mark.parametrize(("file", "module"), [("http", "http.server"), ("pipeline", "pipeline")])
def test_a_file_of_the_users_folder_is_no_module_of_a_child_process(
    tmp_path: Path, file: str, module: str
) -> None:
    (tmp_path / f"{file}.py").write_text("raise SystemExit('a file of the user was imported')")
    command = python_module(module, "--help")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
