"""A page as Chromium shows it, over its DevTools protocol."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

PROGRAM = "chromium"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-port=0", "--window-size=1300,3000",
)  # fmt: skip
# What a person reads on the page, the content of its fields too.
VISIBLE = """document.body.innerText + "\\n" +
    [...document.querySelectorAll("input, textarea")].map(field => field.value).join("\\n")"""


@contextmanager
def chromium(profile: Path) -> Iterator[str]:
    """Address of the DevTools of a browser with a new, empty profile."""
    command = [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        told = profile / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not (told.exists() and told.read_text().strip()):
            assert browser.poll() is None, "Chromium ended by itself"
            assert time.monotonic() < deadline, "Chromium did not open its DevTools"
            time.sleep(0.1)
        yield f"127.0.0.1:{told.read_text().split()[0]}"
    finally:
        browser.terminate()
        browser.wait(20)


def missing_on_page(devtools: str, url: str, wanted: list[str], *, seconds: float = 60) -> list[str]:
    """Which of the wanted texts a person does not get to see within that time."""
    request = urllib.request.Request(f"http://{devtools}/json/new?{url}", method="PUT")
    with urllib.request.urlopen(request, timeout=30) as reply:
        page = json.load(reply)
    deadline = time.monotonic() + seconds
    with connect(page["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
        while True:
            shown = evaluated(socket, VISIBLE)
            missing = [text for text in wanted if text.lower() not in shown.lower()]
            if not missing or time.monotonic() > deadline:
                return missing
            time.sleep(0.2)


def evaluated(socket: Any, expression: str) -> str:
    question = {"id": 1, "method": "Runtime.evaluate", "params": {"expression": expression}}
    socket.send(json.dumps(question))
    while (reply := json.loads(socket.recv(30))).get("id") != 1:
        pass
    return str(reply["result"]["result"].get("value", ""))
