"""`python -m pipeline` is the `openmementos` command."""

from pipeline.cli import app

if __name__ == "__main__":  # the processes of a scan import this file too
    app()
