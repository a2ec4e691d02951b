import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.urls import shown_url, url_fault, url_of


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://host:8000/v1", "http://host:8000/v1"),
        ("https://me:pw@host/v1", "https://host/v1"),
        ("https://me@host/v1", "https://host/v1"),
        ("me:pw@host:8000/v1", "host:8000/v1"),
        ("https://me:p/w@x@host/v1", "https://host/v1"),
    ],
)
def test_a_url_is_shown_without_user_and_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@given(st.text(), st.text())
def test_no_password_is_ever_shown(password: str, user: str) -> None:
    assert shown_url(f"https://{user}:{password}@host/v1") == "https://host/v1"


@pytest.mark.parametrize(
    "url",
    [
        "http://host/v1",
        "https://api.example.com/v1",
        "HTTP://127.0.0.1:8000/v1",
        "http://[::1]:8000/v1",
        "https://host/openai/v1?api-version=2025-04-01&deployment=m",
    ],
)
def test_a_base_url_has_no_fault(url: str) -> None:
    assert url_fault(url) is None


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", "does not begin with http:// or https://"),
        ("http://exa..mple/v1", "names no host that there can be"),
        ("http://host/v1#there", "has a # after its path"),
        *(
            (f"http://host/v1?{name}=x", "has a key in its query, which belongs into an environment variable")
            for name in ("key", "api_key", "access_token", "code", "sig")
        ),
        ("localhost:8000/v1", "does not begin with http:// or https://"),
        ("host/v1", "does not begin with http:// or https://"),
        ("ftp://host/v1", "does not begin with http:// or https://"),
        ("http:///v1", "names no host"),
        ("http://host:80000/v1", "is no URL"),
        ("http://host:port/v1", "is no URL"),
        ("http://[::1/v1", "is no URL"),
        (" http://host/v1", "has white space in it"),
        ("http://host/v1\n", "has white space in it"),
    ],
)
def test_what_is_no_base_url_is_told(url: str, fault: str) -> None:
    assert url_fault(url) == fault


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://host/v1", "http://host/v1/models"),
        ("http://host/v1/", "http://host/v1/models"),
        ("http://host", "http://host/models"),
        ("http://host/v1?api-version=1&x=%2F", "http://host/v1/models?api-version=1&x=%2F"),
        ("http://host/v1/?api-version=1", "http://host/v1/models?api-version=1"),
    ],
)
def test_a_path_stands_before_the_query_of_its_base(base: str, url: str) -> None:
    assert url_of(base, "/models") == url
