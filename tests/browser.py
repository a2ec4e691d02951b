"""Debian's Chromium, driven by Playwright, that watches what a page does besides showing itself."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

PROGRAM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
needs_chromium = pytest.mark.skipif(
    PROGRAM is None and "CI" not in os.environ, reason="Chromium is not installed (Debian: chromium)"
)


@dataclass
class Watched:
    """A page, with all that it was not to do: errors told, dialogs opened, addresses beyond this machine."""

    page: Page
    wrong: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        """What axe finds that people with other means than eyes and mouse would stumble over."""
        # Without preloading: axe would read the stylesheet, which no page from disk may do.
        found = Axe().run(self.page, options={"preload": False}).response["violations"]
        return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM or "chromium", args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(browser: Browser, *, dark: bool = False, width: int = 1300) -> Iterator[Watched]:
    context = browser.new_context(
        color_scheme="dark" if dark else "light", viewport={"width": width, "height": 900}
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    seen = Watched(page)
    page.on("console", lambda told: seen.wrong.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: seen.wrong.append(f"script: {error}"))

    def dismiss(dialog):
        seen.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", dismiss)

    def asked(request):
        parts = urlsplit(request.url)
        if parts.scheme not in ("file", "data") and parts.hostname != "127.0.0.1":
            seen.wrong.append(f"asked {request.url}")

    page.on("request", asked)
    try:
        yield seen
    finally:
        context.close()


def settle(page: Page) -> None:
    """Waits until the table of traces shows what was asked for last."""
    expect(page.locator("#traces")).to_have_attribute("aria-busy", "false")


def address(index: Path, page: str = "index.html") -> str:
    return (index.parent / page).as_uri()
