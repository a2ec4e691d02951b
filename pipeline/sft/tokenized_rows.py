"""Rows → token ids on disk → packs: what the trainer reads."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from pipeline.files.atomic import replacing, value_digest
from pipeline.files.damage import DamageError, set_aside
from pipeline.files.digests import check_digests, write_digests
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.sft.collate import IGNORED, Seeing
from pipeline.sft.errors import SftError
from pipeline.sft.examples import Tokenizing
from pipeline.sft.packing import packs
from pipeline.sft.rows import SIZE

# Raise when the same data set would give other rows or ids.
VERSION = 4
_ROWS_PER_PROCESS = 1_000


@dataclass(frozen=True)
class Examples:
    """Rows as token ids: `ids` and `prompt` of each, and `size`, its number in a curriculum, 0 without one.

    counts: of rows cut or left out, by reason.
    digest: of the rows and of all that their ids depend on.
    """

    table: datasets.Dataset
    counts: Mapping[str, int]
    digest: str

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example."""
        return [int(length) for length in self.table.with_format("arrow")["length"].to_pylist()]

    def of_last_size(self) -> "Examples":
        """Those of the last size of a curriculum; all without one."""
        sizes = np.asarray(self.table.with_format("numpy")["size"][:])
        chosen = np.flatnonzero(sizes == sizes.max())
        return replace(self, table=self.table.select(chosen))


def prepare(
    rows: datasets.Dataset,
    identity: Sequence[str],
    tokenizing: Tokenizing,
    folder: Path,
    tell: Callable[[str], None],
) -> Examples:
    """The rows as examples, kept below `folder` under their digest; what is there already is read.

    identity: what tells these rows from any others, their name first. Nothing half-written is taken for
    whole, nor what is not as it was written, which is set aside. Raises SftError where no row is left.
    """
    digest = value_digest(
        {
            "rows": list(identity),
            "tokenizer": tokenizing.tokenizer.backend_tokenizer.to_str(),
            "template": tokenizing.tokenizer.chat_template,
            "end": tokenizing.tokenizer.eos_token_id,
            "max_tokens": tokenizing.max_tokens,
            "version": VERSION,
        }
    )[:16]
    place = folder / digest
    record = place / "counts.json"
    if record.exists():
        try:
            check_digests(place)
        except DamageError as damage:
            set_aside(damage, folder=place, tell=tell)
    if not record.exists():
        tell(f"tokenizing {len(rows):,} rows")
        with replacing(place) as unfinished:
            unfinished.mkdir()
            table, counts = _tokenized(rows, tokenizing)
            if not len(table):
                reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
                raise SftError(f"data.dataset {identity[0]}: of {len(rows):,} rows none is left ({reasons})")
            table.save_to_disk(unfinished / "examples")
            write_sealed({"counts": counts}, unfinished / "counts.json")
            write_digests(unfinished)
    return Examples(datasets.load_from_disk(place / "examples"), read_sealed(record)["counts"], digest)


def _tokenized(rows: datasets.Dataset, tokenizing: Tokenizing) -> tuple[datasets.Dataset, dict[str, int]]:
    def example(row: dict[str, Any]) -> dict[str, Any]:
        counts = tokenizing.counts = Counter()
        made = tokenizing.example(row["problem"], row["response"])
        note = next(iter(counts), "")
        size = row.get(SIZE, 0)
        if made is None:
            return {"ids": np.empty(0, np.int32), "prompt": 0, "length": 0, "size": size, "note": note}
        length = len(made.ids)
        return {"ids": made.ids, "prompt": made.prompt, "length": length, "size": size, "note": note}

    processes = min(os.cpu_count() or 1, len(rows) // _ROWS_PER_PROCESS)
    table = rows.map(
        example,
        remove_columns=rows.column_names,
        features=datasets.Features(
            {
                "ids": datasets.List(datasets.Value("int32")),
                "prompt": datasets.Value("int32"),
                "length": datasets.Value("int32"),
                "size": datasets.Value("int32"),
                "note": datasets.Value("string"),
            }
        ),
        num_proc=processes if processes > 1 else None,
        load_from_cache_file=False,
    )
    counts = Counter(note for note in table["note"] if note)
    kept = [at for at, length in enumerate(table["length"]) if length]
    return table.select(kept).remove_columns("note"), dict(counts)


def packed_examples(
    examples: Examples,
    max_tokens: int,
    *,
    seed: int | None,
    full_attention_share: float = 0.0,
    restart_share: float = 0.0,
) -> datasets.Dataset:
    """Packs for the collator, put together when they are read.

    seed: of the order; None keeps it. full_attention_share, restart_share: of the packs that forget nothing,
    and of those whose mementos never saw their blocks, chosen by the packs' numbers.
    """
    lengths = examples.lengths
    order = np.arange(len(lengths))
    if seed is not None:
        np.random.default_rng(seed).shuffle(order)
    found = packs([lengths[at] for at in order], max_tokens)
    numbers = [[int(order[at]) for at in pack] for pack in found]
    draws = np.random.default_rng(0 if seed is None else seed + 1).random(len(numbers))
    # Beside each other on the same draws, so that one share leaves the packs of the other as they are.
    seeing = np.full(len(numbers), Seeing.MEMENTO, np.int64)
    seeing[draws >= 1 - restart_share] = Seeing.RESTART
    seeing[draws < full_attention_share] = Seeing.FULL
    table = examples.table.with_format("numpy")

    def together(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        made: dict[str, list[Any]] = {
            "input_ids": [],
            "labels": [],
            "lengths": [],
            "prompts": [],
            "seeing": batch["seeing"],
        }
        for pack in batch["examples"]:
            rows = [table[int(at)] for at in pack]
            made["input_ids"].append(np.concatenate([row["ids"] for row in rows]))
            made["labels"].append(np.concatenate([_labels(row) for row in rows]))
            made["lengths"].append([len(row["ids"]) for row in rows])
            made["prompts"].append([int(row["prompt"]) for row in rows])
        return made

    table_of_packs = datasets.Dataset.from_dict({"examples": numbers, "seeing": seeing.tolist()})
    table_of_packs.set_transform(together)
    return table_of_packs


def _labels(row: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    labels = np.array(row["ids"], np.int64)
    labels[: int(row["prompt"])] = IGNORED
    return labels


def pack_tokens(packed: datasets.Dataset, lengths: Sequence[int]) -> list[int]:
    """Tokens of each pack. lengths: of the examples."""
    numbers = packed.with_format(None)["examples"]
    return [sum(lengths[at] for at in pack) for pack in numbers]


def mean_pack(packed: datasets.Dataset, lengths: Sequence[int]) -> float:
    """Tokens of a pack, on average."""
    return sum(lengths) / max(1, len(packed))
