"""The probe of an evaluation's models: done once for each, kept, and told in the report."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.evaluate.config import ProbeSection
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.local_model import LocalModel
from pipeline.evaluate.modes import Mode
from pipeline.evaluate.probe import (
    ProbeConfig,
    ProbeError,
    ProbeResult,
    digit_words,
    passcode_sentence,
    probe,
)
from pipeline.files.atomic import value_digest, write_json
from pipeline.sft.config import DataConfig
from pipeline.sft.errors import SftError
from pipeline.sft.examples import Tokenizing
from pipeline.sft.rows import load_rows


def kept_probe(digest: str, section: ProbeSection, run: Path) -> list[ProbeResult]:
    """What was read from the mementos of the model with this digest; nothing where that was not done here."""
    record = _record(digest, section, run)
    return [ProbeResult(**each) for each in json.loads(record.read_text())] if record.exists() else []


def probe_model(
    model: LocalModel, section: ProbeSection, run: Path, tell: Callable[[str], None]
) -> list[ProbeResult]:
    """What is read from the entries of a model's mementos. Raises EvaluateError where that cannot be done."""
    if known := kept_probe(model.digest, section, run):
        return known
    tokenizing = Tokenizing(model.tokenizing.tokenizer, model.tokenizing.tokens, section.max_tokens)
    note = passcode_sentence if _reads(tokenizing, passcode_sentence([0], {})) else digit_words
    config = ProbeConfig(sequences=section.sequences, texts=section.texts, seed=section.seed)
    try:
        rows = load_rows(DataConfig(dataset=section.dataset, held_out=0.5), run, tell).held_out
        forgetting = model.forgetting(Mode.MEMENTO)
        texts = [dict(row) for row in rows]
        found = probe(model.model, tokenizing, texts, config, tell, note=note, forgetting=forgetting)
    except (ProbeError, SftError) as error:
        raise EvaluateError(f"probe of {model.path}: {error}") from None
    record = _record(model.digest, section, run)
    record.parent.mkdir(parents=True, exist_ok=True)
    write_json([asdict(each) for each in found], record)
    return found


def _record(digest: str, section: ProbeSection, run: Path) -> Path:
    return run / "probes" / f"{value_digest([digest, section.model_dump(mode='json')])[:16]}.json"


def probes_table(by_model: dict[str, Sequence[ProbeResult]]) -> str:
    """Digits read from mementos' entries, a column for each model."""
    lines = [f"| entries | {' | '.join(by_model)} |", f"| --- |{' ---: |' * len(by_model)}"]
    for kind in zip(*by_model.values(), strict=True):
        first = kind[0]
        computed = "as in generation" if first.mode == "memento" else "computed without blocks"
        layers = "first layer" if first.layers == "first" else "all layers"
        cells = " | ".join(f"{each.accuracy:.1%} ± {each.standard_error:.1%}" for each in kind)
        lines.append(f"| {first.entries}, {layers}, {computed} | {cells} |")
    return "\n".join(lines)


def _reads(tokenizing: Tokenizing, text: str) -> bool:
    """Whether the tokenizer knows all of a text, which one of a procedural task's words does not."""
    tokenizer = tokenizing.tokenizer
    read: str = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False))
    return read.split() == text.split()
