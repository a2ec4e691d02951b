"""From records to a folder that `datasets.load_dataset` reads, with its card."""

from pipeline.publish.local import Published, publish

__all__ = ["Published", "publish"]
