"""Two runs side by side: figures by domain over common traces, and the mementos that differ most."""

from pipeline.compare.figures import Comparison, Domain, Figure, compare_runs
from pipeline.compare.mementos import Pair
from pipeline.compare.page import as_json, figure_rows, tables

__all__ = ["Comparison", "Domain", "Figure", "Pair", "as_json", "compare_runs", "figure_rows", "tables"]
