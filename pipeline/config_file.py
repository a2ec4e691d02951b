"""A build's config from a YAML file and overrides; errors name the key, and the one that was meant."""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.config import BuildConfig
from pipeline.files.sealed_json import seal_fits
from pipeline.packaged_files import local_path, shipped_configs

Config = TypeVar("Config", bound=BaseModel)


class ConfigError(Exception):
    """The config cannot be used; the message has a line per mistake."""


def load_config(path: Path, overrides: Sequence[str] = ()) -> BuildConfig:
    """The config of a build in a YAML or JSON file, as `read_config` reads it.

    Sources that come along (shipped://…) are the files they stand for. Raises ConfigError.
    """
    build = read_config(path, BuildConfig, overrides)
    paths = tuple(map(local_path, build.source.paths))
    return build.model_copy(update={"source": build.source.model_copy(update={"paths": paths})})


def read_config(path: Path, model: type[Config], overrides: Sequence[str] = ()) -> Config:
    """The config in a YAML or JSON file, with overrides `section.key=value`, whose values are read as YAML.

    Raises ConfigError naming file, key, what is wrong and, for an unknown key, the nearest known one.
    """
    # What a run keeps is JSON: YAML would read some of its numbers (1e-05) as text.
    read = json.loads if path.suffix == ".json" else yaml.safe_load
    try:
        values = read(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = ", ".join(shipped_configs())
        raise ConfigError(f"{path}: no such file; configs that come along, by name: {names}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise ConfigError(
            f"{path}: not valid {'JSON' if path.suffix == '.json' else 'YAML'}: {error}"
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(values).__name__}")
    if not seal_fits(values):
        raise ConfigError(
            f"{path}: its checksum does not fit: take the line out where you have changed the file yourself, "
            "else name the YAML file that the run was built with"
        )
    return with_overrides(values, str(path), model, overrides)


def with_overrides(
    values: dict[str, Any], where: str, model: type[Config], overrides: Sequence[str]
) -> Config:
    """The config with these values and overrides `section.key=value`. Raises ConfigError."""
    values = _unshared(values)
    for override in overrides:
        _override(values, override)
    return validated(values, where, model, overridden=[o.partition("=")[0] for o in overrides])


def validated(
    values: dict[str, Any], where: str, model: type[Config], overridden: Sequence[str] = ()
) -> Config:
    """The config with these values. Raises ConfigError with a line per mistake, which begins with `where`.

    overridden: keys whose values came from the command line, which is then named instead of `where`.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_messages(where, error, model, overridden))) from None


def _unshared(value: Any) -> Any:
    """A copy in which what YAML named twice (&name, *name) is there twice: one of them may be changed."""
    if isinstance(value, dict):
        return {key: _unshared(each) for key, each in value.items()}
    return [_unshared(each) for each in value] if isinstance(value, list) else value


def _override(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(
            f"--set {override}: expected section.key=value, e.g. --set partition.min_tokens=300"
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML ({error})") from None
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {override}: '{section}' is a value, not a section")
    values[last] = value


def _messages(
    file: str, error: ValidationError, model: type[BaseModel], overridden: Sequence[str]
) -> Iterable[str]:
    known = list(known_keys(model))
    for mistake in error.errors():
        key = ".".join(str(part) for part in mistake["loc"])
        told = any(f"{key}.".startswith(f"{name}.") for name in overridden)
        where = "command line" if told else file
        if mistake["type"] == "extra_forbidden":
            meant = difflib.get_close_matches(key, known, n=1, cutoff=0.5) or difflib.get_close_matches(
                key.rpartition(".")[2], [k.rpartition(".")[2] for k in known], n=1, cutoff=0.5
            )
            hint = f" (did you mean '{meant[0]}'?)" if meant else ""
            yield f"{where}: unknown key '{key}'{hint}"
        elif mistake["type"] == "missing":
            yield f"{where}: key '{key}' is missing"
        elif not key:
            yield f"{where}: {mistake['msg'].removeprefix('Value error, ')}"
        else:
            yield f"{where}: {key}: {mistake['msg']}{_found(key, mistake['input'])}"


def _found(key: str, value: Any) -> str:
    if key == "llm.api_key_env":
        return " (not shown: it may be the key itself)"
    return f" (found {_CREDENTIALS.sub('//…@', repr(value))})"


# An address with name and password in it is refused, and told without them, whatever is in the password.
_CREDENTIALS = re.compile(r"//.*@", re.DOTALL)


def known_keys(model: type[BaseModel], prefix: str = "") -> Iterable[str]:
    """Every key of a config, with its sections, e.g. "partition.min_tokens"."""
    for name, field in model.model_fields.items():
        yield prefix + name
        # Also of a section that may be null.
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from known_keys(kind, f"{prefix}{name}.")
