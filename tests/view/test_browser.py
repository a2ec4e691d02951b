"""A reviewer's verdict, given in a real browser on the report's own page: what the server lets through."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from pipeline.commands.console import messages
from pipeline.commands.report import write_report
from pipeline.files.atomic import write_json
from pipeline.run.status import Status
from pipeline.run.store import RunFolder
from pipeline.verdicts import Opinion, read_verdicts
from tests.browser import Watched, chromium, needs_chromium, watched
from tests.run.status_runs import MEMENTOS
from tests.verdicts.runs import done_trace, judged_run, sha256
from tests.view.served import served

pytestmark = [pytest.mark.slow, needs_chromium]


@contextmanager
def shown(run: RunFolder, page: str = "index.html") -> Iterator[Watched]:
    """A page of the run's report, served, in a browser."""
    site = write_report(run, messages()).parent
    with served(run, site, {}) as server, chromium() as browser, watched(browser) as seen:
        seen.page.goto(f"http://127.0.0.1:{server.port}/{page}")
        yield seen


def done_page(run: RunFolder) -> str:
    """Where the page of the trace lies that is done."""
    return f"traces/00000/{done_trace(run)['trace_id']}.html"


def test_a_reviewer_marks_a_memento_says_why_and_takes_it_back(tmp_path):
    run = judged_run(tmp_path / "run")
    trace = done_trace(run)["trace_id"]
    with shown(run, done_page(run)) as seen:
        form = seen.page.locator(f"form.verdict[data-trace='{trace}'][data-block='1']")
        form.get_by_role("button", name="Bad").click()
        expect(form.locator("output")).to_have_text("saved: bad")
        form.get_by_label("why").fill("loses the <13>")
        form.get_by_label("why").press("Tab")
        expect(form.locator("output")).to_have_text("saved: bad")
        seen.page.reload()
        expect(form.get_by_role("button", name="Bad")).to_have_attribute("aria-pressed", "true")
        expect(form.get_by_label("why")).to_have_value("loses the <13>")
        (kept,) = read_verdicts(run)
        assert (kept.block, kept.verdict, kept.why, kept.score) == (1, Opinion.BAD, "loses the <13>", 5)
        form.get_by_role("button", name="Bad").click()
        expect(form.locator("output")).to_have_text("taken back")
        assert read_verdicts(run) == []
        assert seen.wrong == []


def test_keys_mark_the_memento_of_the_block_that_has_the_focus(tmp_path):
    run = judged_run(tmp_path / "run")
    with shown(run, done_page(run)) as seen:
        for key in ("]", "]", "g"):
            seen.page.keyboard.press(key)
        form = seen.page.locator("form.verdict[data-block='1']")
        expect(form.locator("output")).to_have_text("saved: good")
        # Letters that are typed as a reason are no keys.
        form.get_by_label("why").press_sequentially("big bug")
        form.get_by_label("why").press("Tab")
        expect(form.locator("output")).to_have_text("saved: good")
        (kept,) = read_verdicts(run)
        assert (kept.block, kept.verdict, kept.why) == (1, Opinion.GOOD, "big bug")
        assert seen.violations() == []
        assert seen.wrong == []
    assert "They agree on" in write_report(run, messages()).read_text()


def test_a_run_that_goes_on_is_followed_until_its_end(tmp_path):
    run = judged_run(tmp_path / "run")
    status = working()
    write_json(status.as_json(), run.status_file)
    with shown(run) as seen:
        live = seen.page.locator("#live")
        expect(live).to_contain_text("working")
        expect(live).to_contain_text("3 of 20")
        expect(live).to_contain_text("1,810 + 96")
        expect(live).to_contain_text("71 %")
        expect(live).to_contain_text("cost so far 1.25")
        write_json(replace(status, state="done", step="").as_json(), run.status_file)
        expect(live.locator(".state")).to_have_text("done")
        # The next build is seen, too, without loading the page again.
        write_json(replace(status, step="the next one").as_json(), run.status_file)
        expect(live.locator(".step")).to_have_text("the next one", timeout=25_000)
        assert seen.violations() == []
        assert seen.wrong == []


def test_a_run_that_was_killed_is_seen_to_be_silent(tmp_path):
    run = judged_run(tmp_path / "run")
    write_json(replace(working(), at="2026-01-01T00:00:00+00:00").as_json(), run.status_file)
    with shown(run) as seen:
        expect(seen.page.locator("#live .state")).to_contain_text("no word for")
        assert seen.wrong == []


def working() -> Status:
    """A run that writes mementos."""
    now = datetime.now(UTC).isoformat()
    return Status("small", "working", "", "", now, now, 1.25, (MEMENTOS,))


def test_a_page_of_another_origin_can_neither_read_nor_write(tmp_path):
    run = judged_run(tmp_path / "run")
    one = done_trace(run)
    given = {"trace_id": one["trace_id"], "block": 0, "verdict": "bad", "why": ""}
    given["memento_sha256"] = sha256(one["mementos"][0]["text"])
    # Another port is another origin; its pages have no policy that would keep them from asking.
    (tmp_path / "evil.html").write_text("<p>")
    with (
        served(run, tmp_path / "site") as server,
        folder_served(tmp_path) as elsewhere,
        chromium() as browser,
        watched(browser) as seen,
    ):
        seen.page.goto(f"{elsewhere}/evil.html")
        came_of_it = seen.page.evaluate(ATTEMPTS, [f"http://127.0.0.1:{server.port}", given])
        assert came_of_it == ["refused"] * 4
        assert read_verdicts(run) == []
        seen.page.goto(f"http://127.0.0.1:{server.port}/index.html")
        assert seen.page.evaluate(WRITES, given) == 200
    assert len(read_verdicts(run)) == 1


@contextmanager
def folder_served(folder: Path) -> Iterator[str]:
    """Address of a plain server of a folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


# Read a page; post JSON, then a text that is JSON, then with credentials.
ATTEMPTS = """async ([server, given]) => {
  const body = JSON.stringify(given);
  const json = {"Content-Type": "application/json"};
  const tried = (path, options) =>
    fetch(server + path, options).then((answer) => answer.type, () => "refused");
  return [
    await tried("/status.json"),
    await tried("/verdicts", {method: "POST", headers: json, body}),
    await tried("/verdicts", {method: "POST", mode: "no-cors", body}),
    await tried("/verdicts", {method: "POST", credentials: "include", body}),
  ];
}"""
# The same from the report's own page, so that it is not the verdict itself that is refused.
WRITES = """(given) => fetch("/verdicts", {
  method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(given),
}).then((answer) => answer.status)"""
