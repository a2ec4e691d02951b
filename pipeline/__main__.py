"""`python -m pipeline` is the `openmementos` command."""

from pipeline.cli import app

app()
