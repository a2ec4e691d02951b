import socket

import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.commands.console import with_plain_errors
from pipeline.config_file import ConfigError

SQUARE = "endpoint serves [qwen3], not 'big': set llm.model [/bold] " + "and so on " * 30


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
