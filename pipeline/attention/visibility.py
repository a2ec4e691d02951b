"""Who sees whom: for each token the first query position that no longer sees it.

A query q sees a key k where k <= q < visible_until[k], and on layers with a sliding window also
q - k < window. Masks, tiles, eviction and the KV curve are all made from this one vector.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]


class BlockTokens(NamedTuple):
    """Ids of the four special tokens, in the order in which a finished block shows them."""

    block_start: int
    block_end: int
    summary_start: int
    summary_end: int


@dataclass(frozen=True)
class Forgetting:
    """Which blocks are dropped, and when (arXiv 2604.09852, section 4, has the defaults).

    keep_last_blocks: finished blocks that stay visible, 0 as in the paper; -1 drops none. mask_delimiters:
    whether a block's two delimiters are dropped with it. before_mementos: a block is dropped before its
    memento, whose tokens then see nothing of it: what is left of the block is the memento's words alone, as
    after a restart.
    """

    keep_last_blocks: int = 0
    mask_delimiters: bool = True
    before_mementos: bool = False

    def __post_init__(self) -> None:
        if self.keep_last_blocks < -1:
            raise ValueError(
                f"keep_last_blocks is {self.keep_last_blocks}: give 0 or more, or -1 to drop none"
            )
        if self.before_mementos and self.keep_last_blocks:
            raise ValueError(
                f"keep_last_blocks is {self.keep_last_blocks}: blocks that are dropped before their mementos "
                "cannot be kept"
            )


AS_IN_THE_PAPER = Forgetting()
FORGET_NOTHING = Forgetting(keep_last_blocks=-1)


def visible_until(
    ids: ArrayLike,
    tokens: BlockTokens,
    forgetting: Forgetting = AS_IN_THE_PAPER,
    *,
    prompt: int = 0,
    to_come: int = 0,
) -> Ints:
    """For each of a document's n tokens the first position that no longer sees it; n where all do.

    ids: n token ids. prompt: how many of the first are a prompt, whose markers are text like any other: none
    of it is part of a block. to_come: tokens that will follow them, where a text is still being written; what
    all of it sees so far then has n + to_come.

    A finished block is a block_start, the next block_end, the next summary_start and the next summary_end,
    without another block_start in between; of what else stands there nothing is dropped. So a text that is
    cut off or malformed keeps what has no memento. Block number k is seen up to and with the summary_end of
    memento k + keep_last_blocks; with before_mementos up to its own summary_start, which no longer sees it.
    Linear in n.
    """
    ids = np.asarray(ids)
    found = _finished(ids, tokens, prompt)
    inner = 0 if forgetting.mask_delimiters else 1
    starts = [block.start + inner for block in found]
    ends = [block.end - inner for block in found]
    forgotten = [block.memento if forgetting.before_mementos else block.forgotten for block in found]
    visible = np.full(len(ids), len(ids) + to_come, np.int64)
    return _dropped(visible, starts, ends, forgotten, forgetting.keep_last_blocks)


def visible_until_of_sizes(
    blocks: Sequence[int], mementos: Sequence[int], forgetting: Forgetting = AS_IN_THE_PAPER
) -> Ints:
    """The same of a text that is known by the sizes of its blocks and mementos, delimiters counted within."""
    edges = np.cumsum([0, *(size for pair in zip(blocks, mementos, strict=True) for size in pair)])
    starts, ends, forgotten = edges[:-1:2].tolist(), edges[1::2].tolist(), edges[2::2].tolist()
    visible = np.full(edges[-1], edges[-1], np.int64)
    return _dropped(visible, starts, ends, forgotten, forgetting.keep_last_blocks)


def memento_tokens(ids: ArrayLike, tokens: BlockTokens, *, prompt: int = 0) -> NDArray[np.bool_]:
    """For each of n tokens whether it is in the memento of a finished block, behind its summary_start.

    prompt: how many of the first are a prompt.
    """
    ids = np.asarray(ids)
    inside = np.zeros(len(ids), np.bool_)
    for block in _finished(ids, tokens, prompt):
        inside[block.memento + 1 : block.forgotten] = True
    return inside


def packed(documents: Iterable[Ints]) -> Ints:
    """One vector for documents that lie one behind another and never see each other."""
    parts, start = [np.empty(0, np.int64)], 0
    for document in documents:
        parts.append(document + start)
        start += len(document)
    return np.concatenate(parts)


def padded(visible: Ints, length: int) -> Ints:
    """With padding up to `length`, which sees and is seen by nothing but itself."""
    return np.concatenate((visible, np.arange(len(visible), length) + 1))


class _Finished(NamedTuple):
    start: int
    """Of its block_start."""
    end: int
    """One past its block_end."""
    memento: int
    """Of its memento's summary_start."""
    forgotten: int
    """One past the summary_end of its memento."""


def _finished(ids: NDArray[np.integer], tokens: BlockTokens, prompt: int) -> list[_Finished]:
    kinds = np.zeros(len(ids), np.uint8)
    for kind, token in enumerate(tokens, start=1):
        kinds[ids == token] = kind
    return [
        _Finished(match.start(), match.end(1), match.start(2), match.end())
        for match in _FINISHED.finditer(kinds.tobytes(), prompt)
    ]


# Each part stops at the token that it waits for or at another block_start (1), so a search that fails has
# read only up to the block_start that the next one begins with.
_FINISHED = re.compile(rb"(\x01[^\x01\x02]*+\x02)[^\x01\x03]*+(\x03)[^\x01\x04]*+\x04")


def _dropped(
    visible: Ints, starts: Sequence[int], ends: Sequence[int], forgotten: Sequence[int], keep: int
) -> Ints:
    if keep >= 0:
        # The last `keep` blocks are still to be seen at the end.
        for start, end, until in zip(starts, ends, forgotten[keep:], strict=False):
            visible[start:end] = until
    return visible
