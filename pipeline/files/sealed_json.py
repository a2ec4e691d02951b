"""JSON files that tell whether they are still what was written: the object and a digest of it."""

import json
from pathlib import Path
from typing import Any

from pipeline.files.atomic import value_digest, write_json
from pipeline.files.damage import BUILD_AGAIN, DamageError, reading

_SEAL = "checksum"


def write_sealed(value: dict[str, Any], path: Path) -> None:
    """Writes a JSON object with its checksum as the last entry, whole or not at all."""
    write_json({**value, _SEAL: value_digest(value)}, path)


def read_sealed(path: Path, *, always: bool = True, remedy: str = BUILD_AGAIN) -> dict[str, Any]:
    """The object in a file of `write_sealed`.

    always: False for kinds of files that older versions wrote without a checksum, which are then taken as
    they are. Raises FileNotFoundError, and DamageError, with this remedy, where it is not as it was written.
    """
    with reading(path):
        content = path.read_bytes()
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamageError(path, f"no JSON: {error}", remedy) from error
    if not isinstance(value, dict):
        raise DamageError(path, f"no JSON object, but {type(value).__name__}", remedy)
    if (always and _SEAL not in value) or not seal_fits(value):
        raise DamageError(path, "its checksum does not fit", remedy)
    return value


def seal_fits(value: dict[str, Any]) -> bool:
    """Takes the checksum out of an object; whether it is that of the rest. True where there is none."""
    seal = value.pop(_SEAL, None)
    return seal is None or seal == value_digest(value)
