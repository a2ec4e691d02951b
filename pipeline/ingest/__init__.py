"""Files of traces → trace shards: found, read, selected, each row that is left out with its reason."""

from pipeline.ingest.ingest import choose, ingest, source_told
from pipeline.ingest.sources import SourceError

__all__ = ["SourceError", "choose", "ingest", "source_told"]
