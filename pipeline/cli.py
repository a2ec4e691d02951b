"""The `openmementos` command."""

import typer

from pipeline.commands.build import build
from pipeline.commands.compare import compare
from pipeline.commands.console import with_plain_errors
from pipeline.commands.deploy import deploy
from pipeline.commands.doctor import doctor
from pipeline.commands.evaluate import evaluate
from pipeline.commands.inspect_run import inspect
from pipeline.commands.plan import plan
from pipeline.commands.publish import publish
from pipeline.commands.recheck import recheck
from pipeline.commands.report import report
from pipeline.commands.select_traces import select
from pipeline.commands.serve import serve
from pipeline.commands.sft import sft
from pipeline.commands.ui import ui
from pipeline.commands.verdicts import verdicts
from pipeline.commands.view import view

app = typer.Typer(
    name="openmementos",
    help="Builds Memento training data: reasoning traces cut into blocks, each with a dense memento.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
for command in (
    build,
    select,
    plan,
    doctor,
    inspect,
    compare,
    recheck,
    report,
    view,
    verdicts,
    publish,
    sft,
    evaluate,
    deploy,
    serve,
    ui,
):
    app.command()(with_plain_errors(command))


@app.callback()
def main() -> None:
    """Builds Memento training data: reasoning traces cut into blocks, each with a dense memento."""
