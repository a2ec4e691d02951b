"""A run folder to look into: its traces, and what became of each."""

from pipeline.inspection.page import as_json, show, table
from pipeline.inspection.story import NotThere, find_run, find_trace, only_block
from pipeline.inspection.traces import TraceState, trace_lines

__all__ = [
    "NotThere",
    "TraceState",
    "as_json",
    "find_run",
    "find_trace",
    "only_block",
    "show",
    "table",
    "trace_lines",
]
