import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.commands.runs import partitioned_run

# The command with a report that is one page: how the pages are made is tested elsewhere.
COMMAND = """
import sys, types
from pathlib import Path
report = types.ModuleType("pipeline.commands.report")
def write_report(run, console, **options):
    run.report.mkdir(exist_ok=True)
    (run.report / "index.html").write_text("the report")
    console.print("report written")
    return run.report / "index.html"
report.write_report = write_report
sys.modules["pipeline.commands.report"] = report
import typer
from pipeline.commands.console import with_plain_errors
from pipeline.commands.view import view
app = typer.Typer()
app.command()(with_plain_errors(view))
app()
"""


def started(run: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMAND, str(run), "--port", "0", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_run_is_shown_until_it_is_stopped(tmp_path, stop):
    run, _ = partitioned_run(tmp_path / "run")
    with started(run.root, "--no-browser") as process:
        assert process.stdout.readline() == "report written\n"
        said = process.stdout.readline()
        assert said.startswith(f"{run.root} is shown at http://127.0.0.1:")
        address = said.split(" is shown at ")[1].split()[0]
        with urllib.request.urlopen(address, timeout=30) as page:
            assert page.read() == b"the report"
        process.send_signal(stop)
        assert process.stdout.read() == "stopped\n"
    assert process.returncode == 0


def test_the_browser_is_opened_at_the_address(tmp_path):
    run, _ = partitioned_run(tmp_path / "run")
    opened = tmp_path / "opened"
    os.mkfifo(opened)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    with started(run.root, BROWSER=f"{browser} %s") as process:
        process.stdout.readline()
        said = process.stdout.readline()
        assert opened.read_text().strip() in said
        process.terminate()
        process.stdout.read()
    assert process.returncode == 0
