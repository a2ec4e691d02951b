"""What a browser is told with every answer: run only the report's own files, and let no other site in."""

from aiohttp import web

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
_ALWAYS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def harden(answer: web.StreamResponse) -> None:
    """Adds the headers. What does not say how long it holds is asked about again each time it is shown."""
    answer.headers.update(_ALWAYS)
    answer.headers.setdefault("Cache-Control", "no-cache")
