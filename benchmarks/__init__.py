"""What the pipeline takes, measured; `make bench` runs all of it."""
