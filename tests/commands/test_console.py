import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.commands.console import with_plain_errors
from pipeline.config_file import ConfigError

SQUARE = "endpoint serves [qwen3], not 'big': set llm.model [/bold] " + "and so on " * 30


# As in a terminal: whoever runs the tests by nohup has the signal ignored here, too.
HAS_A_TERMINAL = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
STOPS = """
import sys, threading
from pipeline.commands.console import stop_on_signals
stop_on_signals()
never = threading.Event()
try:
    print("works", flush=True)
    never.wait()
except KeyboardInterrupt:
    print("stopping", flush=True)
    try:
        if sys.argv[1:]:
            never.wait()
    finally:
        print("not ended at once", flush=True)
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_is_answered_by_a_line_and_a_third_ends_a_command_at_once(stop):
    command = [sys.executable, "-c", HAS_A_TERMINAL + STOPS, "waits for ever"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "works\n"
        process.send_signal(stop)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(stop)
        assert process.stderr.readline() == "stopping already; once more ends it at once\n"
        process.send_signal(stop)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "ended at once; what is done is kept, run the same command to go on\n"


def test_a_command_whose_messages_nobody_reads_any_more_stops_in_the_same_order():
    command = [sys.executable, "-c", HAS_A_TERMINAL + STOPS, "waits for ever"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "works\n"
        process.stderr.close()
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "stopping\n"
        # Two signals that come before one is looked at are one.
        while process.poll() is None:
            process.send_signal(signal.SIGHUP)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        assert process.stdout.read() == ""
    assert process.returncode == 130


def test_one_signal_leaves_a_command_the_time_to_stop_in_order():
    with subprocess.Popen([sys.executable, "-c", STOPS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "works\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "stopping\nnot ended at once\n"
    assert process.returncode == 0


def test_a_closed_terminal_does_not_stop_what_nohup_has_started():
    command = ["nohup", sys.executable, "-c", STOPS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "works\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "stopping\nnot ended at once\n"
        assert "stopping already" not in process.stderr.read()


def run(error: Exception, *arguments: str):
    def command(verbose: bool = False) -> None:
        raise error

    small = typer.Typer()
    small.command()(with_plain_errors(command))
    return CliRunner().invoke(small, arguments)


def test_an_error_is_one_message_exactly_as_it_was_written():
    result = run(ConfigError(SQUARE))
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"error: {SQUARE}\n")


def test_an_error_of_another_house_tells_its_kind():
    assert run(KeyError("row")).stderr == "error: KeyError: 'row'\n"


def test_the_traceback_is_shown_where_it_is_asked_for():
    told = run(ValueError("odd"), "--verbose").stderr
    assert told.startswith("Traceback")
    assert told.endswith("error: ValueError: odd\n")


@pytest.mark.parametrize("error", [typer.Exit(3), typer.BadParameter("give both"), typer.Abort()])
def test_an_end_that_a_command_has_chosen_stays(error):
    result = run(error)
    assert result.exit_code == {typer.Exit: 3, typer.BadParameter: 2, typer.Abort: 1}[type(error)]
    assert "error: " not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["build", "-c", "no [such].yaml"], ["plan", "-c", "no [such].yaml"], ["deploy", "-c", "no [such].yaml"]],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_cannot_be_done_says_why_in_one_message(arguments):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: no [such].yaml: no such file")
    assert len(result.stderr.splitlines()) == 1


def test_a_port_in_use_is_told_with_the_way_out():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(app, ["ui", "--port", str(taken.getsockname()[1])])
    assert result.exit_code == 1
    assert "name another with --port" in result.stderr
