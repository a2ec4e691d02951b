import socket
import sys

import pytest

from pipeline.verdicts import read_verdicts
from tests.verdicts.runs import done_trace, sha256
from tests.view.served import Served

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def good(server: Served, **others) -> dict:
    """A verdict that is taken where nothing is wrong with the request."""
    row = done_trace(server.run)
    text = row["mementos"][0]["text"]
    given = {"trace_id": row["trace_id"], "block": 0, "memento_sha256": sha256(text)}
    return {**given, "verdict": "good", "why": "", **others}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LocalHost"])
def test_the_names_of_loopback_are_answered(server, name):
    assert server.ask("GET", "/", {"Host": f"{name}:{server.port}"}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:{other}",
        "127.0.0.1:{port}.evil.example",
        "127.0.0.1:{port}@evil.example",
        "127.0.0.2:{port}",
        "0.0.0.0:{port}",
        "127.0.0.1:{port}, evil.example",
    ],
)
@pytest.mark.parametrize("path", ["/", "/status.json", "/verdicts/x", "/no.html"])
def test_any_other_name_is_refused(server, host, path):
    reply = server.ask("GET", path, {"Host": host.format(port=server.port, other=server.port + 1)})
    assert reply.status == 421
    assert f"this server answers as 127.0.0.1:{server.port}" in reply.text
    assert reply.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_request_that_names_no_host_is_refused(server, version):
    reply = server.raw(f"GET / HTTP/{version}\r\nConnection: close\r\n\r\n".encode())
    # HTTP 1.1 itself asks for the name, so that some versions of aiohttp refuse it first.
    assert reply.status in (400, 421)
    assert "host" in reply.text.lower()
    assert "Übersicht" not in reply.text


def test_two_hosts_are_refused(server):
    own = f"Host: 127.0.0.1:{server.port}\r\n"
    reply = server.raw(f"GET / HTTP/1.1\r\n{own}Host: evil.example\r\nConnection: close\r\n\r\n".encode())
    assert reply.status in (400, 421)


def test_a_verdict_from_the_reports_own_page_is_taken(server):
    assert server.post(good(server)).status == 200
    assert server.post(good(server), Origin=f"http://localhost:{server.port}").status == 200
    # Older browsers say neither; other sites cannot send JSON from them.
    assert server.post(good(server), Origin="", Sec_Fetch_Site="").status == 200
    assert server.post(good(server), Content_Type="application/json; charset=utf-8").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:{port}.evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": "multipart/form-data"},
        {"Content_Type": "text/plain"},
        {"Content_Type": ""},
    ],
)
def test_a_verdict_from_anywhere_else_is_refused_and_not_kept(server, headers):
    reply = server.post(good(server), **{k: v.format(port=server.port) for k, v in headers.items()})
    assert reply.status == 403
    assert next(iter(headers)).replace("_", "-") in reply.text
    assert read_verdicts(server.run) == []


def test_a_verdict_under_another_name_of_this_machine_is_refused(server):
    reply = server.post(good(server), Host=f"evil.example:{server.port}")
    assert reply.status == 421
    assert read_verdicts(server.run) == []


def test_every_kind_of_answer_has_the_headers(server):
    (server.run.root / "status.json").write_text("{}")
    tag = server.ask("GET", "/").headers["ETag"]
    replies = {
        "page": (200, server.ask("GET", "/")),
        "head": (200, server.ask("HEAD", "/")),
        "asset": (200, server.ask("GET", "/assets/page.js")),
        "part of a page": (206, server.ask("GET", "/", {"Range": "bytes=0-3"})),
        "no such part": (416, server.ask("GET", "/", {"Range": "bytes=9999-"})),
        "not changed": (304, server.ask("GET", "/", {"If-None-Match": tag})),
        "status": (200, server.ask("GET", "/status.json")),
        "verdicts": (200, server.ask("GET", "/verdicts/x")),
        "verdict": (200, server.post(good(server))),
        "not JSON": (400, server.post(b"{")),
        "other site": (403, server.post({}, Origin="http://evil.example")),
        "no page": (404, server.ask("GET", "/no.html")),
        "no trace": (404, server.post(good(server, trace_id="no"))),
        "method": (405, server.ask("PUT", "/")),
        "other text": (409, server.post(good(server, memento_sha256="0" * 64))),
        "large": (413, server.post(b"x" * 20_000)),
        "other host": (421, server.ask("GET", "/", {"Host": "evil.example"})),
        "no HTTP": (400, server.raw(b"hello\r\n\r\n")),
        "long target": (400, server.ask("GET", "/" + "x" * 20_000)),
    }
    for kind, (status, reply) in replies.items():
        assert reply.status == status, kind
        told = {name: reply.headers.get_all(name) for name in EXPECTED}
        assert told == {name: [value] for name, value in EXPECTED.items()}, kind
        assert reply.headers["Cache-Control"] in ("no-cache", "no-store"), kind


EXPECTED = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


BROKEN = {
    "a body that ends too early": "Content-Length: 100\r\n\r\n{",
    "a chunk without a size": "Transfer-Encoding: chunked\r\n\r\nzz\r\n{",
    "a chunk that is longer than its size": "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n",
    "a body that is not packed as it says": "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "a length below zero": "Content-Length: -5\r\n\r\n",
    "half a head": "Content-Len",
}


@pytest.mark.parametrize("kind", [*BROKEN, "no HTTP"])
def test_a_broken_client_is_not_told_of_on_the_terminal(server, caplog, kind):
    head = f"POST /verdicts HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
    request = (head + BROKEN[kind]).encode() if kind in BROKEN else b"\x16\x03\x01\x02\x00\x01"
    with caplog.at_level("DEBUG"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass
        assert server.ask("GET", "/").status == 200
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


def test_a_body_that_is_not_packed_as_it_says_is_a_bad_request(server):
    reply = server.post(b"hello", Content_Encoding="gzip")
    assert (reply.status, reply.text.startswith("a body that cannot be read: ")) == (400, True)


def test_a_defect_of_the_server_is_told_with_its_traceback(server, caplog, monkeypatch):
    monkeypatch.setattr(sys.modules["pipeline.view.answers"], "file_answer", lambda site, path: 1 / 0)
    assert server.ask("GET", "/").status == 500
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert isinstance(record.exc_info[1], ZeroDivisionError)
