"""What a model was trained for, in its own `config.json`, where whoever generates with it finds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.attention.visibility import BlockTokens, Forgetting

KEY = "memento"


@dataclass(frozen=True)
class TrainedFor:
    """The record of a training.

    forgets: whether attention was masked (stage 2); a model of stage 1 knows blocks and has seen all of them.
    forgetting: what is dropped from the KV cache in mode `memento`. longest: tokens of the longest text that
    it learnt from. tokens: ids of the four special tokens. data, revision, rows: name and state of the data
    set, digest of its tokenized rows. version: of openmementos.
    """

    forgets: bool
    forgetting: Forgetting
    longest: int
    tokens: BlockTokens
    data: str
    revision: str
    rows: str
    version: str


def write_trained_for(config: Any, record: TrainedFor) -> None:
    """Puts the record into a model's Transformers config, which is saved with it as `memento`."""
    setattr(
        config,
        KEY,
        {
            "forgets": record.forgets,
            "keep_last_blocks": record.forgetting.keep_last_blocks,
            "mask_delimiters": record.forgetting.mask_delimiters,
            "longest": record.longest,
            "tokens": record.tokens._asdict(),
            "data": record.data,
            "revision": record.revision,
            "rows": record.rows,
            "version": record.version,
        },
    )


def read_trained_for(config: Any) -> TrainedFor | None:
    """The record in a model's Transformers config; None where there is none.

    Raises ValueError where one is there that cannot be read. What it says beyond is left alone.
    """
    kept = getattr(config, KEY, None)
    if kept is None:
        return None
    if not isinstance(kept, Mapping):
        raise ValueError(f"config.json: {KEY} is {kept!r}, not the record of a training")
    tokens = _read(kept, "tokens", Mapping)
    return TrainedFor(
        forgets=_read(kept, "forgets", bool),
        forgetting=Forgetting(_read(kept, "keep_last_blocks", int), _read(kept, "mask_delimiters", bool)),
        longest=_read(kept, "longest", int),
        tokens=BlockTokens(*(_read(tokens, name, int, "tokens.") for name in BlockTokens._fields)),
        data=_read(kept, "data", str),
        revision=_read(kept, "revision", str),
        rows=_read(kept, "rows", str),
        version=_read(kept, "version", str),
    )


def _read(kept: Mapping[str, Any], name: str, kind: type[Any], within: str = "") -> Any:
    value = kept.get(name)
    # A bool is an int to Python.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"config.json: {KEY}.{within}{name} is {value!r}, not {_CALLED[kind]}")
    return value


_CALLED: dict[type[Any], str] = {
    bool: "true or false",
    int: "a whole number",
    str: "a text",
    Mapping: "a table",
}
