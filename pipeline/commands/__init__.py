"""One file per `openmementos` command."""
