"""Base URLs of endpoints: what is wrong with one, and how to show it without its password."""

import re
from urllib.parse import parse_qsl, urlsplit

# Greedy: of a password with an @ or / in it, too, nothing is left.
USERINFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)


# Names of what a query must not hold: it is written into configs, cards and messages.
SECRET = re.compile(r"key|token|secret|password|sig|code|auth", re.IGNORECASE)


def url_of(base: str, path: str) -> str:
    """A path below a base URL ("/models"), before its query (`?api-version=…`), which every call has."""
    parts = urlsplit(base)
    return parts._replace(path=parts.path.rstrip("/") + path).geturl()


def metrics_url(base: str) -> str:
    """Where an engine tells of itself, beside the /v1 of its base URL."""
    parts = urlsplit(base)
    return parts._replace(path=parts.path.rstrip("/").removesuffix("/v1") + "/metrics").geturl()


def shown_url(url: str) -> str:
    """The URL without user and password, for messages and reports."""
    return USERINFO.sub(r"\1", url)


def url_fault(url: str) -> str | None:
    """Why nobody can be asked at this URL, for "endpoint … {fault}"; None where it may work."""
    if not url.isprintable() or " " in url:
        return "has white space in it"
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("http", "https"):
        return "does not begin with http:// or https://"
    if not parts.hostname:
        return "names no host"
    try:
        parts.hostname.encode("idna")
    except UnicodeError:
        return "names no host that there can be"
    if parts.fragment:
        return "has a # after its path"
    if any(SECRET.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        return "has a key in its query, which belongs into an environment variable"
    return None if port_fits else "names port 0"
