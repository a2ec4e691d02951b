"""Base URLs of endpoints: what is wrong with one, and how to show it without its password."""

import re
from urllib.parse import urlsplit

# Greedy: of a password with an @ or / in it, too, nothing is left.
USERINFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)


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
    if parts.query or parts.fragment:
        return "has something after its path"
    return None if port_fits else "names port 0"
