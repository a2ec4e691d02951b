"""What comes with the installation, from whatever folder it is asked for: configs and the sample's traces."""

from importlib import resources
from pathlib import Path

SCHEME = "shipped://"


def shipped_configs() -> dict[str, Path]:
    """The configs that come along, by the names of their files."""
    return {path.name: path for path in sorted(_home().glob("configs/*.yaml"))}


def find_config(named: Path) -> tuple[Path, str]:
    """The config file that is meant, and a line for people where that is not plain from its name.

    A bare name is looked for in the current folder, then among those that come along. A path that is neither
    is given back as it is.
    """
    shipped = shipped_configs().get(named.name) if named.parent == Path() else None
    if shipped is None or _is(shipped, named):
        return named, ""
    if named.exists():
        return named, f"config: {named} of this folder, not the one of that name that comes along"
    return shipped, f"config: {shipped} (comes along; there is no {named} in this folder)"


def local_path(path: str) -> str:
    """The file that shipped://… stands for, relative where it is below the current folder; any other path."""
    if not path.startswith(SCHEME):
        return path
    file = (_home() / path.removeprefix(SCHEME)).resolve()
    here = Path.cwd().resolve()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _home() -> Path:
    # By its name, as data: nothing of it is imported from here.
    return Path(str(resources.files("flows")))


def _is(shipped: Path, named: Path) -> bool:
    return named.exists() and named.samefile(shipped)
