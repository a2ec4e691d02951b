"""Where the report is served: a port of loopback, which no other machine reaches."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_LOOPBACK = "127.0.0.1"
_NAMES = (_LOOPBACK, "localhost", "[::1]")
_HTTP_PORT = 80


class PortError(Exception):
    """The port cannot be had; the message says why and which option names another."""


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """A socket that listens on that port of loopback, or on any free one for 0. Raises PortError.

    Who connects before the server is up waits until it is.
    """
    with socket.socket() as listener:
        # So that the port of a server that has just ended can be had at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_LOOPBACK, port))
            listener.listen()
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            why = "something else is served there" if in_use else f"it cannot be had ({error.strerror})"
            raise PortError(
                f"port {port} of {_LOOPBACK}: {why}; name another with --port, or any free one with --port 0"
            ) from error
        yield listener


def port_of(listener: socket.socket) -> int:
    """The port that a socket of `listening` has."""
    port: int = listener.getsockname()[1]
    return port


def url_of(listener: socket.socket) -> str:
    """The address for a browser."""
    return f"http://{_LOOPBACK}:{port_of(listener)}/"


def own_hosts(port: int) -> frozenset[str]:
    """What the Host header of a request may say. A browser leaves out the port of HTTP itself."""
    suffixes = (f":{port}", "") if port == _HTTP_PORT else (f":{port}",)
    return frozenset(f"{name}{suffix}" for name in _NAMES for suffix in suffixes)
