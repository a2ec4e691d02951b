"""Texts with a code of digits in one block, and what a model's KV cache holds of the mementos behind it."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from pipeline.attention.cache import BlockCache
from pipeline.attention.hook import take_visible_until
from pipeline.attention.layers import UnsupportedModel
from pipeline.attention.visibility import AS_IN_THE_PAPER, Forgetting, Ints, visible_until
from pipeline.records import ParseError, assemble, parse
from pipeline.sft.examples import Tokenizing

DIGITS = 5
# Blocks that a row needs: the one with the code, the next, and one more, so that neither leads to the answer.
BLOCKS = 3

Mode = Literal["memento", "restart"]
# From the digits and the row that they are put into, the text that says them, at the start of a block.
Note = Callable[[Sequence[int], Mapping[str, str]], str]


class ProbeError(Exception):
    """The probe cannot be done with these rows or this model; the message says why and what to do."""


def passcode_sentence(digits: Sequence[int], row: Mapping[str, str]) -> str:
    """A note for tokenizers of running text."""
    return f"The passcode is {' '.join(map(str, digits))}. "


def digit_words(digits: Sequence[int], row: Mapping[str, str]) -> str:
    """A note for tokenizers whose words end with their space, as the register machine's do."""
    return "".join(f"{digit} " for digit in digits)


@dataclass(frozen=True)
class CodedText:
    """A text of n tokens, up to the end of the second memento, with the digits in its first block.

    row: the number of the row that it is made from. visible_until: of each token. kept: positions of what is
    in no block. mementos: first and one past the last position of each, delimiters counted within.
    """

    row: int
    digits: tuple[int, ...]
    ids: Ints
    visible_until: Ints
    kept: Ints
    mementos: tuple[tuple[int, int], tuple[int, int]]


def coded_texts(
    tokenizing: Tokenizing,
    rows: Sequence[Mapping[str, str]],
    count: int,
    most: int,
    note: Note,
    seed: int,
    forgetting: Forgetting = AS_IN_THE_PAPER,
) -> list[CodedText]:
    """So many texts, from at most `most` rows in turn, each with a code of its own.

    rows: with `problem` and `response`. Those with less than three blocks, no response of the format or more
    than `tokenizing.max_tokens` tokens are left out.
    Raises ProbeError where none is left, and where the tokenizer does not read every digit as one token:
    the mementos' positions would then tell something about the code. And where the second memento would still
    see the block with the code.
    """
    if forgetting.keep_last_blocks:
        raise ProbeError(
            f"the model was trained with keep_last_blocks {forgetting.keep_last_blocks}, so the second "
            "memento still sees the block with the code; the probe is for models that keep no finished block"
        )
    usable: list[tuple[Mapping[str, str], CodedText]] = []
    for row in rows:
        text = _coded(tokenizing, row, len(usable), (0,) * DIGITS, note, forgetting)
        if text and len(text.ids) <= tokenizing.max_tokens:
            usable.append((row, text))
        if len(usable) == most:
            break
    if not usable:
        raise ProbeError(
            f"the probe needs a row with at least {BLOCKS} blocks, of which the first two with mementos "
            f"fit into {tokenizing.max_tokens} tokens; none of {len(rows)} is one"
        )
    texts = []
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")
        digits = tuple(draw.randrange(10) for _ in range(DIGITS))
        row, reference = usable[number % len(usable)]
        text = _coded(tokenizing, row, reference.row, digits, note, forgetting)
        assert text
        _refuse_merged_digits(tokenizing, text, reference, note(digits, row))
        texts.append(text)
    return texts


def _coded(
    tokenizing: Tokenizing,
    row: Mapping[str, str],
    number: int,
    digits: tuple[int, ...],
    note: Note,
    forgetting: Forgetting,
) -> CodedText | None:
    try:
        parsed = parse(row["response"])
    except ParseError:
        return None
    if len(parsed.blocks) < BLOCKS:
        return None
    # Later tokens change nothing of the entries before them.
    first, second = parsed.blocks[:2]
    response = assemble([note(digits, row) + first, second], parsed.mementos[:2], "")
    prompt = np.array(tokenizing.prompt_ids(row["problem"]), np.int64)
    written = np.array(tokenizing.tokenizer.encode(response, add_special_tokens=False), np.int64)
    tokens = tokenizing.tokens
    starts = np.flatnonzero(written == tokens.summary_start)[:2] + len(prompt)
    ends = np.flatnonzero(written == tokens.summary_end)[:2] + 1 + len(prompt)
    n = int(ends[1])
    ids = np.concatenate((prompt, written))[:n]
    visible = visible_until(ids, tokens, forgetting, prompt=len(prompt), to_come=1)
    return CodedText(
        number,
        digits,
        ids=ids,
        visible_until=visible,
        kept=np.flatnonzero(visible > n),
        mementos=((int(starts[0]), int(ends[0])), (int(starts[1]), n)),
    )


def _refuse_merged_digits(tokenizing: Tokenizing, text: CodedText, reference: CodedText, note: str) -> None:
    differ = len(text.ids) == len(reference.ids) and int((text.ids != reference.ids).sum())
    if differ != sum(digit != 0 for digit in text.digits):
        raise ProbeError(
            f"{tokenizing.tokenizer.name_or_path or 'the tokenizer'}: does not read each digit of {note!r} "
            "as one token that is its own; give a note that sets the digits apart, in words that it knows"
        )


@contextmanager
def attending_by_masks(model: Any) -> Iterator[None]:
    """The model without dropout and with SDPA, which takes any mask; afterwards as it was.

    Raises ProbeError where it cannot attend as the probe needs.
    """
    was_training, attention = model.training, model.config._attn_implementation
    try:
        _attend_by_masks(model.eval())
        yield
    finally:
        model.set_attn_implementation(attention)
        model.train(was_training)


def _attend_by_masks(model: Any) -> None:
    try:
        model.set_attn_implementation("sdpa")
        take_visible_until(model).remove()  # which looks whether the model heeds masks
    except (UnsupportedModel, ValueError) as error:
        raise ProbeError(f"the probe reads entries made with memento attention: {error}") from error


@torch.no_grad()
def memento_entries(
    model: Any, texts: Sequence[CodedText], mode: Mode, *, rows: int, most_tokens: int, last: int
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Batch by batch, which texts and their entries: (texts, 2 mementos, layers, size), float32, on the CPU.

    mode: `memento`: a memento is computed while its block is visible; `restart`: prompt and mementos are
    computed without any block, at their original positions. last: of a memento's tokens, how many are read,
    up to and with its end; where it has fewer, zeros stand for the others. rows and most_tokens bound a
    batch, padding included; a text that is longer is a batch of its own.
    """
    positions = [text.kept if mode == "restart" else np.arange(len(text.ids)) for text in texts]
    for batch in _batches([len(p) for p in positions], rows, most_tokens):
        chosen, places = [texts[i] for i in batch], _padded([positions[i] for i in batch], -1)
        ids = _padded([text.ids for text in chosen], 0).gather(1, places.clamp(min=0))
        cache = BlockCache(model.config)
        model.get_decoder()(  # not the whole model: logits over the vocabulary would be far the largest
            input_ids=ids.to(model.device),
            position_ids=places.clamp(min=0).to(model.device),
            attention_mask=cache.admit(
                places.to(model.device),
                _padded([text.visible_until for text in chosen], 0).to(model.device),
            ),
            past_key_values=cache,
            use_cache=True,
        )
        columns = torch.stack([_last_columns(positions[i], texts[i], last) for i in batch])
        yield batch, torch.stack([_taken(layer, columns) for layer in cache.layers], dim=2)


def _batches(lengths: Sequence[int], rows: int, most_tokens: int) -> Iterator[list[int]]:
    """Numbers of texts of like length, the longest first."""
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) == rows or (len(batch) + 1) * lengths[batch[0]] > most_tokens):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _padded(parts: Sequence[Ints], filler: int) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.from_numpy(p) for p in parts], True, filler)


def _last_columns(positions: Ints, text: CodedText, last: int) -> torch.Tensor:
    """Where in the cache the last tokens of each memento stand, (2, last); -1 for none."""
    found = torch.full((2, last), -1)
    for which, (start, end) in enumerate(text.mementos):
        own = np.arange(max(start, end - last), end)
        found[which, last - len(own) :] = torch.from_numpy(np.searchsorted(positions, own))
    return found


def _taken(layer: Any, columns: torch.Tensor) -> torch.Tensor:
    """Keys and values of a layer, each (texts, heads, m, head), at the columns: (texts, 2 mementos, size)."""
    texts, mementos, last = columns.shape
    held = torch.cat((layer.keys, layer.values), dim=-1).transpose(1, 2).flatten(2)
    index = columns.clamp(min=0).flatten(1).to(held.device)
    taken = held.gather(1, index[:, :, None].expand(-1, -1, held.shape[-1])).float().cpu()
    taken *= (columns >= 0).flatten(1)[:, :, None]
    return taken.reshape(texts, mementos, last * taken.shape[-1])
