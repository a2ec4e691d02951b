"""The `openmementos` command."""

import typer

from pipeline.commands.build import build

app = typer.Typer(
    name="openmementos",
    help="Builds Memento training data: reasoning traces cut into blocks, each with a dense memento.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
app.command()(build)


@app.callback()
def main() -> None:
    """Builds Memento training data: reasoning traces cut into blocks, each with a dense memento."""
