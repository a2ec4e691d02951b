"""Which numbers of a memento count as standing in its block."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records.stated_numbers import unsupported_numbers


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("1000 cases", "there are 1,000 cases"),
        ("1,000 cases", "there are 1000 cases"),
        ("12,345", "12{,}345"),
        ("12345", r"12\,345"),
        ("1_000_003", "1 000 003"),
        ("p = 0.50", "p = .5"),
        ("p = .125", "p = 0.1250"),
        ("x = 17.0", "x = 17"),
        ("pi is 3.14", "pi is 3.14159"),
        ("about 2.72", "e = 2.718281828"),
        ("cut to 2.71", "e = 2.718281828"),
        ("about 137", "136.8"),
        ("0.75 of it", "3/4 of it"),
        ("0.375", r"\frac{3}{8}"),
        ("37.5%", r"\dfrac{3}{8}"),
        ("25%", "a probability of 0.25"),
        ("0.25", "25% of them"),
        ("0.333", "one third, 1/3"),
        ("1000000 steps", "10^6 steps"),
        ("0.0015", "1.5e-3"),
        ("12 eggs", "twelve eggs"),
        ("x^{12}", "x¹²"),
        ("the pair (11,222)", "11 and 222"),
        ("-17", "17"),
    ],
)
def test_a_number_is_found_however_it_is_written(claim: str, source: str) -> None:
    assert unsupported_numbers(claim, source) == []


@pytest.mark.parametrize(
    ("claim", "source", "missing"),
    [
        ("the sum is 4.72", "the sum is 4.27", ["4.72"]),
        ("42 and 43", "42", ["43"]),
        ("12", "123", ["12"]),
        ("0.5", "5", ["0.5"]),
        ("1,000,000", "100,000", ["1,000,000"]),
        ("2.72", "2.71", ["2.72"]),
        ("2.718", "2.72", ["2.718"]),
        ("137", "137.8", ["137"]),
        ("0.34", "1/3", ["0.34"]),
        ("25%", "0.35", ["25"]),
        ("11/12", "11/13", ["12"]),
        ("2024", "", ["2024"]),
        ("77 and again 77", "", ["77"]),
        ("97. That is the answer.", "", ["97"]),
        ("97. That is the answer.\n\n1. First\n2. Second", "", ["97"]),
        ("12. the sum\n15. the product", "", ["12", "15"]),
        ("12: the sum\n11: the rest", "", ["12", "11"]),
        ("(41) is left\n  of it all", "", ["41"]),
    ],
)
def test_a_number_that_stands_nowhere_is_named(claim: str, source: str, missing: list[str]) -> None:
    assert unsupported_numbers(claim, source) == missing


@pytest.mark.parametrize(
    "claim",
    [
        "0, 1, 2 and 10",
        "11. first\n12. second\n  (13) third",
        "11) first\n    more of it\n\n12) second",
        "use sha256 and x12, int64",
        "log.info('%.1f')",
        "x_12 + a.15",
    ],
)
def test_small_integers_list_numbers_and_names_are_left_alone(claim: str) -> None:
    assert unsupported_numbers(claim, "") == []


def test_a_number_of_any_source_is_supported() -> None:
    assert unsupported_numbers("17 and 18", "block with 17", "problem with 18") == []


@pytest.mark.parametrize("source", ["9" * 5000, "9" * 5000 + "/" + "0" * 5000, "1e99", "0/0", "." * 999])
def test_absurd_numbers_do_no_harm(source: str) -> None:
    assert len(source) > sys.get_int_max_str_digits() or len(source) < 1000
    assert unsupported_numbers("4.5", source) == ["4.5"]
    assert unsupported_numbers(source, "1.5") in ([], [source], source.split("/"), [source.split("/")[0]])


@given(st.text(st.sampled_from("0123456789.,/ %e^\\{}fracx\n²"), max_size=60))
def test_a_text_supports_its_own_numbers(text: str) -> None:
    assert unsupported_numbers(text, text) == []
