import pytest

from tests.view.served import SITE, Served


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/traces/one.html?at=2", "text/html; charset=utf-8"),
        ("/assets/page.js", "text/javascript; charset=utf-8"),
        ("/assets/page.css", "text/css; charset=utf-8"),
        ("/figures/a.svg", "image/svg+xml; charset=utf-8"),
        ("/data.json", "application/json; charset=utf-8"),
        ("/data.csv", "text/csv; charset=utf-8"),
        ("/data.parquet", "application/octet-stream"),
    ],
)
def test_files_of_the_site_come_with_their_kind(server: Served, path, kind):
    reply = server.ask("GET", path)
    assert reply.status == 200
    assert reply.text == SITE[path.partition("?")[0].removeprefix("/") or "index.html"]
    assert reply.headers["Content-Type"] == kind
    assert reply.headers["Cache-Control"] == "no-cache"


def test_head_tells_the_size_and_sends_nothing(server):
    reply = server.ask("HEAD", "/")
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["Content-Length"]) == len(SITE["index.html"].encode())


def test_a_page_that_has_not_changed_is_not_sent_again(server):
    tag = server.ask("GET", "/").headers["ETag"]
    again = server.ask("GET", "/", {"If-None-Match": tag})
    assert (again.status, again.body) == (304, b"")
    (server.site / "index.html").write_text("another")
    assert server.ask("GET", "/", {"If-None-Match": tag}).text == "another"


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.txt",
        "/traces/../../outside.txt",
        "/traces/../index.html",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/%2e%2e%2foutside.txt",
        "/traces/%2e%2e/%2e%2e/outside.txt",
        "/%252e%252e/outside.txt",
        "/..%5coutside.txt",
        "/..\\outside.txt",
        "/./index.html",
        "//index.html",
        "/{outside}",
        "/%2f{outside}",
        "//{outside}",
        "/index.html/",
        "/index.html%00.txt",
        "/.secret",
        "/%2esecret",
        "/.git/config",
        "/traces",
        "/traces/",
        "/no.html",
        f"/{'x' * 300}",
        "/%ff%fe",
    ],
)
def test_nothing_but_files_below_the_site_is_found(server, tmp_path, path):
    outside = tmp_path / "outside.txt"
    outside.write_text("not for you")
    reply = server.ask("GET", path.replace("{outside}", str(outside).removeprefix("/")))
    assert reply.status == 404
    assert b"not for you" not in reply.body


def test_links_that_lead_out_are_refused_and_those_within_are_followed(server, tmp_path):
    (tmp_path / "outside.txt").write_text("not for you")
    (server.site / "out.txt").symlink_to(tmp_path / "outside.txt")
    (server.site / "folder").symlink_to(tmp_path)
    (server.site / "round").symlink_to("round")
    (server.site / "within.html").symlink_to("index.html")
    assert [server.ask("GET", path).status for path in ("/out.txt", "/folder/outside.txt", "/round")] == [
        404
    ] * 3
    assert server.ask("GET", "/within.html").text == SITE["index.html"]


def test_the_status_of_the_run_is_told_as_it_is_now(server):
    nothing = server.ask("GET", "/status.json")
    assert (nothing.status, nothing.body) == (204, b"")
    (server.run.root / "status.json").write_text('{"state": "running"}')
    reply = server.ask("GET", "/status.json")
    assert (reply.status, reply.json) == (200, {"state": "running"})
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_pages_can_only_be_read(server, method):
    before = sorted(path.relative_to(server.site) for path in server.site.rglob("*"))
    reply = server.ask(method, "/index.html", {"Content-Type": "application/json"}, b"{}")
    assert reply.status == 405
    assert reply.headers["Allow"] == "GET, HEAD"
    assert sorted(path.relative_to(server.site) for path in server.site.rglob("*")) == before


def test_the_form_can_only_be_posted_to(server):
    assert {
        method: server.ask(method, "/verdicts").status for method in ("GET", "PUT", "DELETE", "OPTIONS")
    } == {
        "GET": 405,
        "PUT": 405,
        "DELETE": 405,
        "OPTIONS": 405,
    }
