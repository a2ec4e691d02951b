"""Whether a memento's keys and values carry what was in its block but is not in its text.

A code of five digits is put into the first block of a text whose mementos stay as they are. A small network
then reads the digits from the entries that the model's KV cache holds of the block's own memento, and of the
next one, which is computed after the block was dropped. Two controls carry nothing: the first layer's
entries, which come of a token and its position alone, and entries that are computed without the blocks.

Source: arXiv 2604.09852, section 6.2 and appendix; found there: 65 % for the own memento, 27 % one masked hop
later, where chance is 10 %.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pipeline.attention.visibility import AS_IN_THE_PAPER, Forgetting
from pipeline.evaluate.probe_texts import (
    DIGITS,
    CodedText,
    Mode,
    Note,
    ProbeError,
    attending_by_masks,
    coded_texts,
    digit_words,
    memento_entries,
    passcode_sentence,
)
from pipeline.sft.examples import Tokenizing

__all__ = [
    "ProbeConfig",
    "ProbeError",
    "ProbeResult",
    "digit_words",
    "passcode_sentence",
    "probe",
    "probe_table",
]

Entries = Literal["own memento", "next memento"]
Layers = Literal["all", "first"]
CHANCE = 0.1

_VALIDATION, _TEST = 0.1, 0.2  # shares of the sequences
_LEARNING_RATE, _WEIGHT_DECAY, _STEP = 1e-3, 0.1, 64
_PATIENCE = 10  # epochs without a lower loss on the validation part
_OFTEN = 10  # training sequences of a row, for their mean to be known
_FEWEST = 20  # sequences: then each part has some


@dataclass(frozen=True)
class ProbeConfig:
    """How much is read and how well.

    sequences: with a code each, from the first `texts` rows that can be used, in turn; from more rows a
    network reads less, as it has to know more texts. hidden: units of the network. epochs: at most.
    batch: sequences that the model reads at once, fewer where they have more than `batch_tokens` tokens.
    last_tokens: of a memento, its end included. dimensions: features that the network sees.
    """

    sequences: int = 2000
    texts: int = 20
    hidden: int = 256
    epochs: int = 200
    seed: int = 0
    batch: int = 32
    batch_tokens: int = 32_768
    last_tokens: int = 4
    dimensions: int = 2048


@dataclass(frozen=True)
class ProbeResult:
    """Share of digits that were read in sequences that the network had not seen, and its standard error."""

    entries: Entries
    mode: Mode
    layers: Layers
    accuracy: float
    standard_error: float
    test_sequences: int


def probe(
    model: Any,
    tokenizing: Tokenizing,
    rows: Sequence[Mapping[str, str]],
    config: ProbeConfig,
    tell: Callable[[str], None],
    *,
    note: Note = passcode_sentence,
    forgetting: Forgetting = AS_IN_THE_PAPER,
) -> list[ProbeResult]:
    """How well the digits are read from each kind of entries; the same arguments give the same results.

    model: a causal language model of Transformers, which attends by masks. rows: with `problem` and
    `response`. A row is used again with other codes, so the network may know a text, but never its code.
    note: what says the code; `passcode_sentence` for running text, `digit_words` for the register machine's.
    forgetting: what the model was trained to forget.

    A sequence's features are keys and values of a memento's last tokens, in all layers or in the first. More
    than `config.dimensions` of them are projected at random: each is added, with a random sign, to one of so
    many sums (a count sketch: it needs no large matrix, and a few large entries spoil only a few sums). Then
    the mean over the row's training sequences is taken away, if they are at least ten: it is what the text
    alone says of the entries, and without it the network would have to learn the texts first.
    Raises ProbeError where no row has three blocks or the model is not one that the probe can read.
    """
    if config.sequences < _FEWEST:
        raise ProbeError(f"{config.sequences} sequences are too few for three parts: give {_FEWEST} or more")
    texts = coded_texts(tokenizing, rows, config.sequences, config.texts, note, config.seed, forgetting)
    digits = torch.tensor([text.digits for text in texts])
    numbers = torch.tensor([text.row for text in texts])
    results = []
    with attending_by_masks(model):
        modes: tuple[Mode, Mode] = ("memento", "restart")
        for mode in modes:
            tell(f"probe: entries of {len(texts)} sequences, {mode}")
            for (memento, layers), features in _features(model, texts, mode, config).items():
                result = ProbeResult(memento, mode, layers, *_read(features, digits, numbers, config))
                tell(f"probe: {memento}, {mode}, {layers} layers: {result.accuracy:.1%} of the digits")
                results.append(result)
    return results


def probe_table(results: Sequence[ProbeResult]) -> str:
    """The results as a Markdown table, with chance below."""
    lines = ["| entries | computed | layers | digits read |", "| --- | --- | --- | --- |"]
    for result in results:
        computed = "with its block" if result.mode == "memento" else "again, without blocks"
        lines.append(
            f"| {result.entries} | {computed} | {result.layers} "
            f"| {result.accuracy:.1%} ± {result.standard_error:.1%} |"
        )
    return "\n".join([*lines, f"| chance | | | {CHANCE:.0%} |"]) + "\n"


def _features(
    model: Any, texts: Sequence[CodedText], mode: Mode, config: ProbeConfig
) -> dict[tuple[Entries, Layers], torch.Tensor]:
    """For each kind of entries that is read, (texts, size)."""
    features: dict[tuple[Entries, Layers], torch.Tensor] = {}
    batches = memento_entries(
        model, texts, mode, rows=config.batch, most_tokens=config.batch_tokens, last=config.last_tokens
    )
    for numbers, entries in batches:
        parts: dict[tuple[Entries, Layers], torch.Tensor] = {
            ("own memento", "all"): entries[:, 0],
            ("next memento", "all"): entries[:, 1],
        }
        if mode == "memento":
            parts["own memento", "first"] = entries[:, 0, :1]
        for kind, part in parts.items():
            reduced = _reduced(part.flatten(1), config.dimensions, config.seed)
            features.setdefault(kind, torch.empty(len(texts), reduced.shape[1]))[numbers] = reduced
    return features


def _reduced(features: torch.Tensor, most: int, seed: int) -> torch.Tensor:
    """(rows, size) as (rows, most) where size is larger; the same projection for all features of a size."""
    size = features.shape[1]
    if size <= most:
        return features
    generator = torch.Generator().manual_seed(seed)
    columns = torch.randint(most, (size,), generator=generator)
    signs = torch.randint(2, (size,), generator=generator) * 2.0 - 1
    return torch.zeros(most, len(features)).index_add_(0, columns, (features * signs).T.contiguous()).T


def _read(
    features: torch.Tensor, digits: torch.Tensor, rows: torch.Tensor, config: ProbeConfig
) -> tuple[float, float, int]:
    """Share of a held-out part's digits that a network reads, its standard error, and the part's size.

    features: (sequences, size); digits: (sequences, 5); rows: (sequences,), from which row each is.
    """
    count = len(features)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(config.seed))
    tested, validated = int(count * _TEST), int(count * _VALIDATION)
    test, validation, train = order[:tested], order[-validated:], order[tested:-validated]
    features = _standardized(features, rows, train)
    network = _fitted(features, digits, train, validation, config)
    with torch.no_grad():
        read = network(features[test]).reshape(-1, DIGITS, 10).argmax(-1)
    # Digits of one sequence are read together: its share is the unit that varies.
    shares = (read == digits[test]).double().mean(1)
    return float(shares.mean()), float(shares.std() / tested**0.5), tested


def _standardized(features: torch.Tensor, rows: torch.Tensor, train: torch.Tensor) -> torch.Tensor:
    """Of mean 0 and deviation 1 in the training part; a row that is often in it has mean 0 there, too."""
    centred = features - features[train].mean(0)
    for row in set(rows.tolist()):
        same = train[rows[train] == row]
        if len(same) >= _OFTEN:
            centred[rows == row] = features[rows == row] - features[same].mean(0)
    deviation = centred[train].std(0)
    # What only rounding tells apart is not blown up.
    varies = deviation > 1e-5 * features[train].abs().mean(0)
    return torch.where(varies, centred / deviation.clamp(min=1e-12), 0.0)


def _fitted(
    features: torch.Tensor,
    digits: torch.Tensor,
    train: torch.Tensor,
    validation: torch.Tensor,
    config: ProbeConfig,
) -> nn.Module:
    """The network as it was when its loss on the validation part was lowest."""

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        return cross_entropy(network(features[chosen]).reshape(-1, 10), digits[chosen].flatten())

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = nn.Sequential(
            nn.Linear(features.shape[1], config.hidden), nn.GELU(), nn.Linear(config.hidden, DIGITS * 10)
        )
        optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        lowest, best, since = float("inf"), network.state_dict(), 0
        for _ in range(config.epochs):
            shuffled = train[torch.randperm(len(train))]
            for start in range(0, len(shuffled), _STEP):
                optimizer.zero_grad()
                loss(shuffled[start : start + _STEP]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            with torch.no_grad():
                validated = float(loss(validation))
            since += 1
            if validated < lowest:
                lowest, best, since = validated, deepcopy(network.state_dict()), 0
            if since == _PATIENCE:
                break
        network.load_state_dict(best)
    return network
