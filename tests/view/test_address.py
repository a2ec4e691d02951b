import socket

import pytest

from pipeline.view import PortError, listening, port_of, url_of
from pipeline.view.address import own_hosts


def test_only_loopback_can_connect():
    with listening(0) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{port_of(listener)}/"
        socket.create_connection(("127.0.0.1", port_of(listener)), timeout=30).close()
        # Another address of this machine, which a server on all of them would answer.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port_of(listener)), timeout=30)


def test_a_port_in_use_names_the_option_and_is_free_again_afterwards():
    with listening(0) as listener:
        port = port_of(listener)
        with (
            pytest.raises(PortError, match=rf"port {port} of 127\.0\.0\.1: .* another with --port"),
            listening(port),
        ):
            pass
    with listening(port) as again:
        assert port_of(again) == port


def test_the_port_of_http_itself_may_be_left_out():
    assert "localhost" in own_hosts(80)
    assert own_hosts(8377) == {"127.0.0.1:8377", "localhost:8377", "[::1]:8377"}
